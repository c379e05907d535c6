// Loaded into yagura-store before all else (LD_PRELOAD), by tests alone: makes replicated tables
// come to life in libchdb.
//
// libchdb has ClickHouse's replicated engines and, given <zookeeper><implementation>testkeeper, a
// Keeper in its own process; but it never tells the engine under which address other replicas find
// it, so that each replicated table stays read-only ("Parameter 'interserver_http(s)_port' required
// for replication"). There are no other replicas here. So the function that complains is found by
// its text, and its two jumps to the complaint are taken out.
#include <dlfcn.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

namespace {

constexpr char kText[] = "Parameter 'interserver_http(s)_port' required";
constexpr size_t kBefore = 0x120;  // the function begins not further before its complaint

struct Segment {
  uint8_t* begin;
  size_t size;
  bool code;
};

int FindSegments(dl_phdr_info* info, size_t /*size*/, void* found) {
  if (std::strstr(info->dlpi_name, "libchdb") == nullptr) return 0;
  auto& segments = *static_cast<std::vector<Segment>*>(found);
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& header = info->dlpi_phdr[i];
    if (header.p_type != PT_LOAD || (header.p_flags & PF_W) != 0) continue;
    // NOLINTNEXTLINE(performance-no-int-to-ptr): the loader tells addresses as numbers
    auto* begin = reinterpret_cast<uint8_t*>(info->dlpi_addr + header.p_vaddr);
    segments.push_back({begin, header.p_filesz, (header.p_flags & PF_X) != 0});
  }
  return 1;
}

// "lea register, [rip + distance]" that gives `target`.
uint8_t* FindReference(const Segment& code, const uint8_t* target) {
  constexpr size_t kLength = 7;
  const uint8_t* const end = code.begin + code.size - kLength;
  for (uint8_t* at = code.begin; at < end; ++at) {
    at = static_cast<uint8_t*>(std::memchr(at, 0x8d, static_cast<size_t>(end - at)));
    if (at == nullptr) break;
    if (at == code.begin || (at[-1] != 0x48 && at[-1] != 0x4c) || (at[1] & 0xc7) != 0x05) continue;
    int32_t distance = 0;
    std::memcpy(&distance, at + 2, sizeof(distance));
    if (at + 6 + distance == target) return at - 1;
  }
  return nullptr;
}

// Where a jump goes that is taken if the value before it is 0; null: there is none.
const uint8_t* JumpIfZero(const uint8_t* at) {
  return at[0] == 0x74 ? at + 2 + static_cast<int8_t>(at[1]) : nullptr;
}

bool Patch() {
  std::vector<Segment> segments;
  dl_iterate_phdr(&FindSegments, &segments);
  const uint8_t* text = nullptr;
  for (const Segment& segment : segments) {
    if (segment.code || text != nullptr) continue;
    text = static_cast<uint8_t*>(memmem(segment.begin, segment.size, kText, sizeof(kText) - 1));
  }
  uint8_t* complaint = nullptr;
  for (const Segment& segment : segments) {
    if (!segment.code || text == nullptr || complaint != nullptr) continue;
    complaint = FindReference(segment, text);
    // What was only looked through is no memory of the store.
    madvise(segment.begin, segment.size, MADV_DONTNEED);
  }
  if (complaint == nullptr) return false;
  std::vector<uint8_t*> jumps;
  for (uint8_t* at = complaint - kBefore; at < complaint; ++at) {
    const bool test64 = at[0] == 0x48 && at[1] == 0x85 && at[2] == 0xc0;  // test rax, rax
    const bool test16 = at[0] == 0x66 && at[1] == 0x85 && at[2] == 0xc0;  // test ax, ax
    if (!test64 && !test16) continue;
    const uint8_t* target = JumpIfZero(at + 3);
    if (target != nullptr && target > at && target <= complaint) jumps.push_back(at + 3);
  }
  if (jumps.size() != 2) return false;
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  uint8_t* const first = jumps.front() - reinterpret_cast<uintptr_t>(jumps.front()) % page;
  const size_t size = static_cast<size_t>(complaint - first) / page * page + page;
  if (mprotect(first, size, PROT_READ | PROT_WRITE | PROT_EXEC) != 0) return false;
  for (uint8_t* jump : jumps) std::memset(jump, 0x90, 2);  // nop
  return mprotect(first, size, PROT_READ | PROT_EXEC) == 0;
}

}  // namespace

extern "C" void* dlopen(const char* file, int mode) noexcept {
  static const auto kNext =
      reinterpret_cast<void* (*)(const char*, int)>(dlsym(RTLD_NEXT, "dlopen"));
  void* library = kNext(file, mode);
  const bool is_chdb =
      library != nullptr && file != nullptr && std::strstr(file, "libchdb") != nullptr;
  if (is_chdb && !Patch()) {
    std::fprintf(stderr, "%s has changed: its replicated tables stay read-only\n", file);
  }
  return library;
}
