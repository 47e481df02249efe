// Runs a fuzz target without libFuzzer: every corpus file once, then mutations of them (see driver.h).
//
//   fuzz_NAME [options] [FILE…]     with FILEs: only those, no mutations (to look at a crash again)
//     --corpus DIR    inputs to replay and mutate; may be given more than once
//     --seed N        seed of the mutations; default: from the clock. Printed, so that a failure can be run
//     again
//     --runs N        mutations to try (default 20000)
//     --seconds N     mutate for N seconds instead
//     --only N        just mutation N of that seed
//     --crash DIR     where a failing input is written (default .)
//     --junit FILE    results, one case per corpus file and one for the mutations
//
// Mutation N depends on the seed, N and the corpus alone. A crash, a sanitizer report or an input that takes
// longer than `hang_seconds_max` writes the input to a file, prints how to run it again, and ends the
// process. An empty corpus is a failure: a suite that ran nothing must not look like one that passed.

#include "fuzz/driver.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// Present when a sanitizer is linked in: it ends the process by itself, after calling what was set here.
extern "C" __attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)());

namespace {

using Bytes = std::vector<uint8_t>;

constexpr unsigned hang_seconds_max = 20;  // per input; sanitizer builds on a busy machine stay far below
constexpr size_t input_bytes_max = size_t{96} << 10;  // a 64 KiB ClientHello and room to pass the limit

// ---- What the crash handler needs. It may run in a signal, so it is all plain data that stays in place.
// ----

struct Current {
  const uint8_t* data = nullptr;
  size_t size = 0;
  uint64_t seed = 0;
  uint64_t run = 0;
  bool is_mutation = false;
  char input_name[512] = "";
  char crash_path[512] = "crash";
  char program[512] = "";
};
// A signal handler has no argument to carry this, hence the one mutable global of this file.
Current current;

void save_input_and_say() {
  const int fd = open(current.crash_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  size_t written = 0;
  while (fd >= 0 && written < current.size) {
    const ssize_t n = write(fd, current.data + written, current.size - written);
    if (n <= 0) break;
    written += static_cast<size_t>(n);
  }
  if (fd >= 0) close(fd);
  char text[2048];
  const int length =
      current.is_mutation
          ? std::snprintf(text, sizeof text,
                          "\nfailed on mutation %llu of seed %llu (from %s), %zu bytes\nagain: %s %s\n",
                          static_cast<unsigned long long>(current.run),
                          static_cast<unsigned long long>(current.seed), current.input_name, current.size,
                          current.program, current.crash_path)
          : std::snprintf(text, sizeof text, "\nfailed on %s, %zu bytes\nagain: %s %s\n", current.input_name,
                          current.size, current.program, current.crash_path);
  if (length > 0) (void)!write(2, text, std::min(static_cast<size_t>(length), sizeof text - 1));
}

void on_fatal_signal(int signal_number) {
  if (signal_number == SIGALRM) {
    constexpr std::string_view text = "\nhang: one input took longer than 20 s";
    static_assert(hang_seconds_max == 20);
    (void)!write(2, text.data(), text.size());
  }
  save_input_and_say();
  signal(signal_number, SIG_DFL);
  raise(signal_number);
}

void watch_for_crashes() {
  signal(SIGALRM, on_fatal_signal);
  if (__sanitizer_set_death_callback != nullptr) __sanitizer_set_death_callback(save_input_and_say);
  // A sanitizer that handles SEGV itself reports first and then calls back; abort() is nobody's but ours.
  signal(SIGABRT, on_fatal_signal);
  if (__sanitizer_set_death_callback != nullptr) return;
  for (const int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) signal(number, on_fatal_signal);
}

// ---- Seeded randomness: the same numbers on every machine and with every library. ----

class Random {  // SplitMix64 (Steele, Lea, Flood 2014)
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = state_ += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  /// 0 … bound − 1; bound 0 gives 0. The bias of the modulo does not matter here.
  size_t below(size_t bound) { return bound == 0 ? 0 : static_cast<size_t>(next() % bound); }
  uint8_t byte() { return static_cast<uint8_t>(next()); }

 private:
  uint64_t state_;
};

// ---- Mutations ----

using Difference = Bytes::difference_type;

auto at(Bytes& bytes, size_t offset) { return bytes.begin() + static_cast<Difference>(offset); }
auto at(const Bytes& bytes, size_t offset) { return bytes.begin() + static_cast<Difference>(offset); }

void flip_bit(Bytes& bytes, Random& random) {
  if (bytes.empty()) return;
  bytes[random.below(bytes.size())] ^= static_cast<uint8_t>(1u << random.below(8));
}

void set_byte(Bytes& bytes, Random& random) {
  if (bytes.empty()) return;
  constexpr std::array<uint8_t, 12> telling = {0, 1, 2, 3, 0x0a, 0x0d, 0x16, 0x20, 0x7f, 0x80, 0xfe, 0xff};
  bytes[random.below(bytes.size())] = random.below(2) ? telling[random.below(telling.size())] : random.byte();
}

void remove_range(Bytes& bytes, Random& random) {
  if (bytes.empty()) return;
  const size_t from = random.below(bytes.size());
  const size_t count = 1 + random.below(std::min(bytes.size() - from, size_t{1} << random.below(10)));
  bytes.erase(at(bytes, from), at(bytes, from + count));
}

void insert_random(Bytes& bytes, Random& random) {
  Bytes fresh(1 + random.below(16));
  const bool is_run = random.below(2) != 0;
  const uint8_t repeated = random.byte();
  for (uint8_t& b : fresh) b = is_run ? repeated : random.byte();
  bytes.insert(at(bytes, random.below(bytes.size() + 1)), fresh.begin(), fresh.end());
}

void repeat_range(Bytes& bytes, Random& random) {
  if (bytes.empty()) return;
  const size_t from = random.below(bytes.size());
  const size_t count = 1 + random.below(std::min(bytes.size() - from, size_t{1} << random.below(12)));
  const Bytes range(at(bytes, from), at(bytes, from + count));
  bytes.insert(at(bytes, random.below(bytes.size() + 1)), range.begin(), range.end());
}

void truncate(Bytes& bytes, Random& random) { bytes.resize(random.below(bytes.size() + 1)); }

/// Big-endian lengths of 1 to 3 bytes are what the parsers here trust least: nudge one, or put an extreme
/// there.
void bend_length(Bytes& bytes, Random& random) {
  const size_t width = 1 + random.below(3);
  if (bytes.size() < width) return;
  const size_t offset = random.below(bytes.size() - width + 1);
  uint32_t value = 0;
  for (size_t i = 0; i < width; ++i) value = (value << 8) | bytes[offset + i];
  switch (random.below(4)) {
    case 0:
      value += 1 + static_cast<uint32_t>(random.below(4));
      break;
    case 1:
      value -= 1 + static_cast<uint32_t>(random.below(4));
      break;
    case 2:
      value = static_cast<uint32_t>(bytes.size() - offset - width);
      break;
    case 3:
      value = random.below(2) ? 0xFFFFFFu : 0u;
      break;
  }
  for (size_t i = width; i-- > 0; value >>= 8) bytes[offset + i] = static_cast<uint8_t>(value);
}

void cross_over(Bytes& bytes, const Bytes& other, Random& random) {
  const size_t keep = random.below(bytes.size() + 1);
  const size_t from = random.below(other.size() + 1);
  bytes.resize(keep);
  bytes.insert(bytes.end(), at(other, from), other.end());
}

void mutate_once(Bytes& bytes, const std::vector<Bytes>& corpus, Random& random) {
  switch (random.below(9)) {
    case 0:
      return flip_bit(bytes, random);
    case 1:
      return set_byte(bytes, random);
    case 2:
      return remove_range(bytes, random);
    case 3:
      return insert_random(bytes, random);
    case 4:
      return repeat_range(bytes, random);
    case 5:
      return truncate(bytes, random);
    case 6:
      return cross_over(bytes, corpus[random.below(corpus.size())], random);
    default:
      return bend_length(bytes, random);  // twice as likely as the others
  }
}

// ---- The run ----

struct Options {
  std::vector<std::filesystem::path> corpus_dirs;
  std::vector<std::filesystem::path> files;
  uint64_t seed = static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch().count());
  uint64_t runs = 20000;
  std::optional<uint64_t> seconds;
  std::optional<uint64_t> only;
  std::filesystem::path crash_dir = ".";
  std::filesystem::path junit;
};

struct Input {
  std::string name;
  Bytes bytes;
};

[[noreturn]] void refuse(const std::string& text) {
  std::fprintf(stderr, "%s: %s\n", current.program, text.c_str());
  std::exit(2);
}

uint64_t parse_number(std::string_view option, std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size())
    refuse(std::string(option) + " wants a number, not '" + std::string(text) + "'");
  return value;
}

Options parse_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (!word.starts_with("--")) {
      options.files.emplace_back(word);
      continue;
    }
    if (++i == argc) refuse(std::string(word) + " wants a value");
    const std::string_view value = argv[i];
    if (word == "--corpus") {
      options.corpus_dirs.emplace_back(value);
    } else if (word == "--seed") {
      options.seed = parse_number(word, value);
    } else if (word == "--runs") {
      options.runs = parse_number(word, value);
    } else if (word == "--seconds") {
      options.seconds = parse_number(word, value);
    } else if (word == "--only") {
      options.only = parse_number(word, value);
    } else if (word == "--crash") {
      options.crash_dir = value;
    } else if (word == "--junit") {
      options.junit = value;
    } else {
      refuse("unknown option " + std::string(word));
    }
  }
  return options;
}

Input load(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) refuse("cannot read " + path.string());
  return {path.filename().string(), Bytes(std::istreambuf_iterator<char>(in), {})};
}

std::vector<Input> load_corpus(const Options& options) {
  std::vector<std::filesystem::path> paths = options.files;
  for (const auto& dir : options.corpus_dirs) {
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(dir, error))
      if (entry.is_regular_file()) paths.push_back(entry.path());
    if (error) refuse("cannot read corpus " + dir.string() + ": " + error.message());
  }
  std::sort(paths.begin(), paths.end());  // directory order differs between machines; mutations depend on it
  std::vector<Input> inputs;
  inputs.reserve(paths.size());
  for (const auto& path : paths) inputs.push_back(load(path));
  return inputs;
}

/// Gives the target an allocation of its own, of exactly that size.
void run_one(const Bytes& bytes) {
  const auto exact = std::make_unique<uint8_t[]>(bytes.size());
  std::copy(bytes.begin(), bytes.end(), exact.get());
  current.data = exact.get();
  current.size = bytes.size();
  alarm(hang_seconds_max);
  LLVMFuzzerTestOneInput(exact.get(), bytes.size());
  alarm(0);
}

void name_current(const std::string& name) {
  std::snprintf(current.input_name, sizeof current.input_name, "%s", name.c_str());
}

void run_mutation(const std::vector<Input>& inputs, const std::vector<Bytes>& corpus, uint64_t run) {
  Random random(current.seed ^ (run * 0xD1342543DE82EF95u));
  const size_t start = random.below(corpus.size());
  Bytes bytes = corpus[start];
  for (size_t steps = 1 + random.below(8); steps > 0; --steps) mutate_once(bytes, corpus, random);
  if (bytes.size() > input_bytes_max) bytes.resize(input_bytes_max);
  current.run = run;
  name_current(inputs[start].name);
  run_one(bytes);
}

uint64_t run_mutations(const std::vector<Input>& inputs, const Options& options) {
  std::vector<Bytes> corpus;
  corpus.reserve(inputs.size());
  for (const Input& input : inputs) corpus.push_back(input.bytes);
  current.is_mutation = true;
  if (options.only) {
    run_mutation(inputs, corpus, *options.only);
    return 1;
  }
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(options.seconds.value_or(0));
  uint64_t run = 0;
  while (options.seconds ? std::chrono::steady_clock::now() < end : run < options.runs)
    run_mutation(inputs, corpus, run++);
  return run;
}

std::string xml_escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

/// Written only after everything passed: whoever reads results takes a missing file for a failure.
void write_junit(const Options& options, const std::string& target, const std::vector<Input>& inputs,
                 uint64_t mutations) {
  std::ofstream out(options.junit, std::ios::trunc);
  const size_t tests = inputs.size() + (mutations > 0 ? 1 : 0);
  out << "<testsuite name=\"" << target << "\" tests=\"" << tests << "\" failures=\"0\" errors=\"0\">\n";
  for (const Input& input : inputs)
    out << "  <testcase classname=\"" << target << "\" name=\"" << xml_escaped(input.name) << "\"/>\n";
  if (mutations > 0)
    out << "  <testcase classname=\"" << target << "\" name=\"" << mutations << " mutations of seed "
        << current.seed << "\"/>\n";
  out << "</testsuite>\n";
  out.close();
  if (!out) refuse("cannot write " + options.junit.string());
}

}  // namespace

int main(int argc, char** argv) {
  std::snprintf(current.program, sizeof current.program, "%s", argv[0]);
  const Options options = parse_options(argc, argv);
  const std::string target = std::filesystem::path(argv[0]).filename().string();
  const std::string crash_path = (options.crash_dir / ("crash-" + target)).string();
  std::snprintf(current.crash_path, sizeof current.crash_path, "%s", crash_path.c_str());
  current.seed = options.seed;

  const std::vector<Input> inputs = load_corpus(options);
  if (inputs.empty()) refuse("no inputs: give --corpus DIR or files");
  watch_for_crashes();
  for (const Input& input : inputs) {
    name_current(input.name);
    run_one(input.bytes);
  }
  const uint64_t mutations = options.files.empty() ? run_mutations(inputs, options) : 0;
  std::printf("%s: %zu corpus inputs, %llu mutations of seed %llu: passed\n", target.c_str(), inputs.size(),
              static_cast<unsigned long long>(mutations), static_cast<unsigned long long>(options.seed));
  if (!options.junit.empty()) write_junit(options, target, inputs, mutations);
  return 0;
}
