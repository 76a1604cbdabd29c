// The shared memory of the block that runs.

#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>

#include <sys/mman.h>
#include <unistd.h>

namespace cuda_on_cpu {

// Ends where an inaccessible page begins, so that to read or write beyond it is a fault. Under
// AddressSanitizer it is memory from the heap instead, whose both ends are watched.
class SharedMemory {
 public:
  static constexpr std::size_t most = 227 << 10;  // bytes a block may have on an H100
  static constexpr std::size_t alignment = 16;

  void resize(std::size_t bytes) {
    size_ = (bytes + alignment - 1) / alignment * alignment;
#if defined(__SANITIZE_ADDRESS__)
    std::free(begin_);
    begin_ = static_cast<char *>(std::malloc(size_));
#else
    if (end_ == nullptr) end_ = reserve();
    begin_ = end_ - size_;
#endif
  }

  // Fills it with NaN, whether of floats or of doubles.
  void poison() { std::memset(begin_, 0xFF, size_); }

  char *begin() const { return begin_; }

 private:
  char *begin_ = nullptr;
  std::size_t size_ = 0;

#if !defined(__SANITIZE_ADDRESS__)
  static char *reserve() {
    const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t room = (most + page - 1) / page * page;
    void *memory = mmap(nullptr, room + page, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    char *end = static_cast<char *>(memory) + room;
    mprotect(end, page, PROT_NONE);
    return end;
  }

  char *end_ = nullptr;
#endif
};

}  // namespace cuda_on_cpu
