// An allocator for big tables that are read at random places: memory in 2 MB pages, where the kernel gives
// them.
//
// With 4 KB pages nearly every look-up in 30 MB also misses the TLB, which in a virtual machine costs as much
// as the cache miss itself. Small tables come from the ordinary heap. It is advice only: where transparent
// huge pages are off ("never" in /sys/kernel/mm/transparent_hugepage/enabled), or none is free, all works as
// without.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <new>

namespace sluice {

inline constexpr size_t huge_page_bytes = size_t{2} << 20;

template <class T>
class HugePageAllocator {
 public:
  using value_type = T;
  HugePageAllocator() = default;
  template <class U>
  HugePageAllocator(const HugePageAllocator<U>&) {}

  [[nodiscard]] T* allocate(size_t count) {
    const size_t bytes = count * sizeof(T);
    if (bytes < bytes_min) return static_cast<T*>(::operator new (bytes, std::align_val_t{alignof(T)}));
    // Whole pages, so that nobody else's memory shares the last one: less than 2 MB more than asked for.
    const size_t whole = (bytes + huge_page_bytes - 1) & ~(huge_page_bytes - 1);
    void* const memory = ::operator new (whole, std::align_val_t{huge_page_bytes});
    (void)madvise(memory, whole, MADV_HUGEPAGE);
    return static_cast<T*>(memory);
  }
  void deallocate(T* memory, size_t count) noexcept {
    const size_t align = count * sizeof(T) < bytes_min ? alignof(T) : huge_page_bytes;
    ::operator delete (memory, std::align_val_t{align});
  }
  friend bool operator==(const HugePageAllocator&, const HugePageAllocator&) { return true; }

 private:
  static constexpr size_t bytes_min =
      huge_page_bytes / 2;  // below, more than half of the page would be wasted
};

}  // namespace sluice
