#include "tls/random.h"

#include <sys/mman.h>
#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

namespace sluice::tls {

namespace {

bool ask_kernel(std::span<uint8_t> out) {
  while (!out.empty()) {
    const ssize_t got = getrandom(out.data(), out.size(), 0);
    if (got > 0)
      out = out.subspan(static_cast<size_t>(got));
    else if (errno != EINTR)
      return false;
  }
  return true;
}

constexpr size_t page_bytes = 4096;

/// Laid out in a page that fork() wipes: `left` is then 0 in the child.
struct Page {
  size_t left;
  uint8_t bytes[page_bytes - sizeof(size_t)];
};
static_assert(sizeof(Page) == page_bytes);

class Pool {
 public:
  Pool() {
    void* memory = mmap(nullptr, page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return;
    // Without either, the kernel is asked each time: right, only slower.
    if (madvise(memory, page_bytes, MADV_WIPEONFORK) != 0) {
      munmap(memory, page_bytes);
      return;
    }
    madvise(memory, page_bytes, MADV_DONTDUMP);
    page_ = static_cast<Page*>(memory);
  }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool() {
    if (page_ == nullptr) return;
    explicit_bzero(page_, page_bytes);
    munmap(page_, page_bytes);
  }

  bool take(std::span<uint8_t> out) {
    if (page_ == nullptr || out.size() > sizeof(page_->bytes) / 4) return ask_kernel(out);
    if (page_->left < out.size()) {
      page_->left = 0;
      if (!ask_kernel(page_->bytes)) return false;
      page_->left = sizeof(page_->bytes);
    }
    page_->left -= out.size();
    uint8_t* from = page_->bytes + page_->left;
    std::copy_n(from, out.size(), out.begin());
    explicit_bzero(from, out.size());
    return true;
  }

 private:
  Page* page_ = nullptr;
};

}  // namespace

bool random_bytes(std::span<uint8_t> out) {
  // The one thing in tls/ that is not an argument: wolfSSL asks without saying for whom.
  thread_local Pool pool;
  if (pool.take(out)) return true;
  std::fill(out.begin(), out.end(), uint8_t{0});
  return false;
}

}  // namespace sluice::tls

extern "C" int sluice_random_block(unsigned char* out, unsigned int size) {
  return sluice::tls::random_bytes({out, size}) ? 0 : -1;
}
