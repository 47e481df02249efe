#include "worker/log_queue.h"

#include "base/limits.h"

namespace sluice::worker {
namespace {
// A burst's chunk is given back to the system; the usual one is kept.
constexpr size_t kept_bytes_max = 64 * 1024;
}  // namespace

LogQueue::LogQueue() : filling_(std::make_unique<std::string>()) {}

LogQueue::~LogQueue() {
  delete full_.load();
  delete spare_.load();
}

bool LogQueue::append(std::string_view line) {
  if (filling_->size() + line.size() > limits::log_queue_bytes_max) return false;
  filling_->append(line);
  return true;
}

bool LogQueue::hand_over() {
  if (filling_->empty() || full_.load(std::memory_order_relaxed) != nullptr) return false;
  std::string* spare = spare_.exchange(nullptr, std::memory_order_acquire);
  std::unique_ptr<std::string> next(spare != nullptr ? spare : new std::string);
  full_.store(filling_.release(), std::memory_order_release);
  filling_ = std::move(next);
  return true;
}

void LogQueue::done(std::string* chunk) {
  chunk->clear();
  if (chunk->capacity() > kept_bytes_max) chunk->shrink_to_fit();
  delete spare_.exchange(chunk, std::memory_order_acq_rel);
}

}  // namespace sluice::worker
