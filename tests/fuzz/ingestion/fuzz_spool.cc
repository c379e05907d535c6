// A segment of the spool that the disk has damaged in any way: what is still read of it was
// appended, in that order, and the damage is told.
#include <algorithm>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "services/ingestion/storage/spool.h"
#include "tests/fuzz/ingestion/damaged_file.h"

namespace {

using yagura::fuzz::Folder;
using yagura::ingestion::Spool;

constexpr uint64_t kQuota = 64 << 20;

// What was appended, and the file that it is in.
struct Written {
  Written() {
    const Folder folder;
    auto spool = Spool::Open(folder.path(), kQuota).value();
    for (int i = 0; i < 6; ++i) {
      const auto n = static_cast<size_t>(i);
      records.push_back({"tenants/acme/sources/" + std::to_string(i), std::string(20 + n, 'k'),
                         std::string(n * n * 30, static_cast<char>('a' + i))});
      if (!spool->Append(records.back()).ok()) std::abort();
    }
    spool.reset();
    for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
      if (entry.path().extension() != ".spool") continue;
      name = entry.path().filename();
      bytes = yagura::fuzz::ReadAll(entry.path());
    }
  }
  std::vector<Spool::Record> records;
  std::filesystem::path name;
  std::string bytes;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Written kWritten;
  static const Folder kFolder;
  const std::string_view edits(reinterpret_cast<const char*>(data), size);
  const auto folder = kFolder.path() / "spool";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  const std::string bytes = yagura::fuzz::Damaged(kWritten.bytes, edits);
  std::ofstream(folder / kWritten.name, std::ios::binary) << bytes;
  auto spool = Spool::Open(folder, kQuota);
  if (!spool.ok()) std::abort();
  size_t next = 0;  // of those that were appended; a doubled one may come again
  size_t read = 0;
  for (auto front = (*spool)->Front(); front.ok() && front->has_value();
       front = (*spool)->Front()) {
    const Spool::Record& record = **front;
    const auto same = [&record](const Spool::Record& one) {
      return one.partition == record.partition && one.key == record.key &&
             one.payload == record.payload;
    };
    const auto found = std::find_if(kWritten.records.begin(), kWritten.records.end(), same);
    if (found == kWritten.records.end()) std::abort();
    next = static_cast<size_t>(found - kWritten.records.begin()) + 1;
    ++read;
    (*spool)->Pop();
  }
  const auto damages = (*spool)->TakeDamages();
  const bool whole = bytes == kWritten.bytes;
  if (whole && (read != kWritten.records.size() || next != read || !damages.empty())) std::abort();
  return 0;
}
