// A segment of a relay's spool that the disk has damaged in any way: what is still given of it was
// appended, all else is the relay's own word of what is lost.
#include <cstdlib>
#include <set>
#include <string_view>

#include "common/clock/proto_time.h"
#include "common/testing/fake_clock.h"
#include "services/ingestion/relay/relay_spool.h"
#include "tests/fuzz/ingestion/damaged_file.h"

namespace {

using yagura::Logger;
using yagura::fuzz::Folder;
using yagura::ingestion::RelaySpool;
namespace v1 = yagura::ingestion::v1;

constexpr std::string_view kOwn = " - yagura-relay - ";

const std::shared_ptr<yagura::testing::FakeClock>& TheClock() {
  static const auto kClock = std::make_shared<yagura::testing::FakeClock>();
  return kClock;
}

std::unique_ptr<RelaySpool> Open(const std::filesystem::path& folder) {
  RelaySpool::Options options;
  options.folder = folder;
  options.site = "hq";
  options.parent = "tenants/acme";
  return RelaySpool::Open(options, TheClock(), Logger::Null()).value();
}

// What was appended, and the file that it is in.
struct Written {
  Written() {
    const Folder folder;
    auto spool = Open(folder.path());
    for (int i = 0; i < 6; ++i) {
      v1::PushRequest batch;
      auto& relay = *batch.mutable_relay();
      relay.add_senders()->set_address("\x7f" + std::string(2, '\0') + "\x01");
      for (int line = 0; line <= i; ++line) {
        batch.add_lines("<13>app: " + std::string(static_cast<size_t>(i * 40), 'x'));
        relay.add_line_senders(0);
        *relay.add_line_receive_times() = yagura::ToProto(TheClock()->Now());
      }
      if (!spool->Append(batch).ok()) std::abort();
    }
    while (const auto entry = spool->Next().value()) {
      batches.insert(entry->batch.SerializeAsString());
    }
    spool.reset();
    for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
      if (entry.path().extension() != ".relay") continue;
      name = entry.path().filename();
      bytes = yagura::fuzz::ReadAll(entry.path());
    }
  }
  std::set<std::string> batches;
  std::filesystem::path name;
  std::string bytes;
};

bool IsOwn(const v1::PushRequest& batch) {
  for (const std::string& line : batch.lines()) {
    if (line.find(kOwn) == line.npos) return false;
  }
  return batch.lines_size() > 0;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Written kWritten;
  static const Folder kFolder;
  const std::string_view edits(reinterpret_cast<const char*>(data), size);
  const auto folder = kFolder.path() / "spool";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  std::ofstream(folder / kWritten.name, std::ios::binary)
      << yagura::fuzz::Damaged(kWritten.bytes, edits);
  const auto spool = Open(folder);
  for (int round = 0; round < 2; ++round) {
    size_t given = 0;
    for (auto entry = spool->Next(); entry.ok() && entry->has_value(); entry = spool->Next()) {
      const v1::PushRequest& batch = (*entry)->batch;
      if (!kWritten.batches.contains(batch.SerializeAsString()) && !IsOwn(batch)) std::abort();
      if (round == 1) spool->Acknowledge((*entry)->place);
      if (++given > 10'000) std::abort();  // it never ends
    }
    spool->Trim();
    spool->Rewind();
  }
  return 0;
}
