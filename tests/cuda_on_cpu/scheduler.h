// Runs a grid of CUDA threads on the CPU: one block after the other, each thread a fiber.
//
// A thread runs until it meets a barrier (or an operation of its whole warp, which begins and ends
// with one), and then the next one does. So threads go through the program as far apart as barriers
// allow, and one that reads what another has yet to write reads NaN. Threads run in order or in
// reverse: what neither order disturbs, does not depend on it.
//
// Whatever goes wrong ends the launch with a message; the process goes on.

#pragma once

#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "fiber.h"
#include "shared_memory.h"

struct uint3 {
  unsigned x, y, z;
};

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

// Where the running thread is. Ordinary variables, so that a debugger can print them.
static uint3 threadIdx, blockIdx;
static dim3 blockDim, gridDim;

namespace cuda_on_cpu {

constexpr unsigned warp_size = 32;

enum class State { ready, at_barrier, at_warp_operation, done };

// A copy to shared memory that was asked for and has not happened.
struct Copy {
  void *to;
  const void *from;  // null: zeros
  std::size_t bytes;
};

struct Thread {
  Fiber fiber;
  State state = State::ready;
  const char *operation = "";  // what it waits at
  uint3 index{};
  unsigned number = 0;              // among the threads of the block
  unsigned operations = 0;          // of its warp, that it took part in
  std::vector<Copy> copies;         // outstanding, oldest first
  std::vector<std::size_t> groups;  // for each committed group, the copies up to its end
};

// What the lanes of a warp show each other during an operation of the warp. There is room for two
// operations in turn: a lane may come to the next one while others still look at this one.
struct Shown {
  alignas(16) unsigned char bytes[32];
};

struct Warp {
  Shown shown[2][warp_size];
};

static std::vector<Thread *> threads;  // made once, used by every launch
static std::vector<Warp> warps;
static Thread *current = nullptr;  // null while the scheduler itself runs
static unsigned thread_count = 0;
static void (*call_kernel)() = nullptr;
static SharedMemory shared_memory;

static bool failed = false;
static std::string message;

static std::string place() {
  char text[96];
  std::snprintf(text, sizeof text, "block (%u, %u, %u)", blockIdx.x, blockIdx.y, blockIdx.z);
  std::string result = text;
  if (current != nullptr) {
    const uint3 t = current->index;
    std::snprintf(text, sizeof text, ", thread (%u, %u, %u)", t.x, t.y, t.z);
    result += text;
  }
  return result;
}

// Ends the launch. Called by a thread, it does not return: the thread is never resumed.
__attribute__((format(printf, 1, 2))) static void fail(const char *format, ...) {
  char text[400];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  failed = true;
  message = place() + ": " + text;
  if (current != nullptr) leave(current->fiber);
}

static void wait(State state, const char *operation) {
  current->state = state;
  current->operation = operation;
  leave(current->fiber);
}

static void thread_main() {
  call_kernel();
  wait(State::done, "the end");
  std::abort();  // nobody resumes a thread that is done
}

static bool resume(Thread &thread) {
  current = &thread;
  threadIdx = thread.index;
  enter(thread.fiber);
  current = nullptr;
  return !failed;
}

// Says how many of some threads wait where: "3 at the end, 29 at __shfl_sync".
static std::string whereabouts(unsigned first, unsigned last) {
  std::vector<std::pair<const char *, unsigned>> counts;
  for (unsigned t = first; t < last; t++) {
    auto known = counts.begin();
    while (known != counts.end() && std::strcmp(known->first, threads[t]->operation) != 0) known++;
    if (known == counts.end()) known = counts.insert(known, {threads[t]->operation, 0});
    known->second++;
  }
  std::string text;
  for (const auto &[operation, count] : counts)
    text += (text.empty() ? "" : ", ") + std::to_string(count) + " at " + operation;
  return text;
}

// Runs one warp until no lane can go on without the other warps.
static bool run_warp(unsigned warp, bool reversed) {
  const unsigned first = warp * warp_size;
  const unsigned last = thread_count < first + warp_size ? thread_count : first + warp_size;
  for (;;) {
    for (unsigned i = first; i < last; i++) {
      Thread &thread = *threads[reversed ? last - 1 - (i - first) : i];
      if (thread.state == State::ready && !resume(thread)) return false;
    }
    unsigned waiting = 0;
    bool alike = true;
    for (unsigned t = first; t < last; t++) {
      waiting += threads[t]->state == State::at_warp_operation;
      alike = alike && std::strcmp(threads[t]->operation, threads[first]->operation) == 0;
    }
    if (waiting == 0) return true;
    if (waiting < warp_size || !alike) {
      fail("the lanes of warp %u part at an operation of the whole warp: %s", warp,
           whereabouts(first, last).c_str());
      return false;
    }
    for (unsigned t = first; t < last; t++) threads[t]->state = State::ready;
  }
}

static bool run_block(bool reversed) {
  shared_memory.poison();
  for (unsigned t = 0; t < thread_count; t++) {
    Thread &thread = *threads[t];
    thread.state = State::ready;
    thread.number = t;
    thread.operations = 0;
    thread.index = {t % blockDim.x, t / blockDim.x % blockDim.y, t / (blockDim.x * blockDim.y)};
    thread.copies.clear();
    thread.groups.clear();
    thread.fiber.start(thread_main);
  }
  const unsigned warp_count = static_cast<unsigned>(warps.size());
  for (;;) {
    for (unsigned w = 0; w < warp_count; w++)
      if (!run_warp(reversed ? warp_count - 1 - w : w, reversed)) return false;
    unsigned done = 0;
    for (unsigned t = 0; t < thread_count; t++) done += threads[t]->state == State::done;
    if (done == thread_count) return true;
    if (done > 0) {
      fail("not every thread reaches the barrier: %s", whereabouts(0, thread_count).c_str());
      return false;
    }
    for (unsigned t = 0; t < thread_count; t++) threads[t]->state = State::ready;
  }
}

static bool run_grid(bool reversed) {
  for (unsigned z = 0; z < gridDim.z; z++)
    for (unsigned y = 0; y < gridDim.y; y++)
      for (unsigned x = 0; x < gridDim.x; x++) {
        blockIdx = {x, y, z};
        if (!run_block(reversed)) return false;
      }
  return true;
}

}  // namespace cuda_on_cpu
