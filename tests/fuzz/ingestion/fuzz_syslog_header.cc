// Any line as a syslog header, RFC 5424 or RFC 3164: every part within its bounds, the body a piece
// of the line, and the zone without effect where it was not used.
#include <array>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "services/ingestion/domain/syslog_header.h"

namespace {

using namespace yagura::ingestion;  // NOLINT(google-build-using-namespace)

constexpr yagura::TimePoint kReceived(std::chrono::seconds(1'790'000'000));

bool Within(std::string_view part, std::string_view whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::array<SourceZone, 3> zones{*SourceZone::Find("Asia/Tokyo"),
                                               *SourceZone::Find("America/New_York"),
                                               *SourceZone::Find("Asia/Kathmandu")};
  const std::string_view line(reinterpret_cast<const char*>(data), size);
  TextArena arena;
  SyslogHeader plain;
  ReadSyslogHeader(line, kReceived, SourceZone(), arena, &plain);
  if (plain.priority < -1 || plain.priority > 191) std::abort();
  if (plain.structured_data.size() > 1024) std::abort();
  for (const std::string_view part :
       {plain.body, plain.host, plain.program, plain.process_id, plain.message_id}) {
    if (!Within(part, line)) std::abort();
  }
  for (const SourceZone& zone : zones) {
    SyslogHeader zoned;
    ReadSyslogHeader(line, kReceived, zone, arena, &zoned);
    if (zoned.zone_used != plain.zone_used || zoned.body != plain.body) std::abort();
    if (!zoned.zone_used && zoned.time != plain.time) std::abort();
  }
  return 0;
}
