#include "services/ingestion/domain/source_zone.h"

#include <string>

#include "date/tz.h"
#include "fmt/format.h"

#include "common/status/status.h"

namespace yagura::ingestion {
namespace {

const date::time_zone& ZoneOf(const void* zone) {
  return *static_cast<const date::time_zone*>(zone);
}

}  // namespace

SourceZone::SourceZone() = default;

StatusOr<SourceZone> SourceZone::Find(std::string_view name) {
  SourceZone zone;
  if (name.empty() || name == "UTC" || name == "Etc/UTC") return zone;
  try {
    zone.zone_ = date::locate_zone(std::string(name));
  } catch (const std::exception&) {
    return InvalidField("time_zone", fmt::format("\"{}\" is not a known time zone", name));
  }
  return zone;
}

std::chrono::sys_seconds SourceZone::ToUtc(LocalSeconds local) const {
  const auto seconds = local.time_since_epoch();
  if (zone_ == nullptr) return std::chrono::sys_seconds(seconds);
  const auto info = ZoneOf(zone_).get_info(date::local_seconds(seconds));
  return std::chrono::sys_seconds(seconds - info.first.offset);
}

LocalSeconds SourceZone::ToLocal(std::chrono::sys_seconds time) const {
  if (zone_ == nullptr) return LocalSeconds(time.time_since_epoch());
  const auto info = ZoneOf(zone_).get_info(date::sys_seconds(time.time_since_epoch()));
  return LocalSeconds(time.time_since_epoch() + info.offset);
}

bool SourceZone::IsCalled(std::string_view name, std::chrono::sys_seconds time) const {
  if (zone_ == nullptr) return name == "UTC";
  return ZoneOf(zone_).get_info(date::sys_seconds(time.time_since_epoch())).abbrev == name;
}

}  // namespace yagura::ingestion
