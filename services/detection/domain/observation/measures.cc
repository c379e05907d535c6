#include "services/detection/domain/observation/measures.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "fmt/format.h"

#include "common/text/text.h"

namespace yagura::detection {
namespace {

using archive::v1::HourlyMeasures;

constexpr double kMebibytes = 1024.0 * 1024.0;
constexpr std::string_view kOutward =
    "NOT action = BLOCKED AND NOT dst.ip = 10.0.0.0/8 AND NOT dst.ip = 172.16.0.0/12 AND NOT "
    "dst.ip "
    "= 192.168.0.0/16 AND NOT fields.\"enriched.dst.scope\" = internal";

}  // namespace

const std::vector<MeasureFacts>& AllMeasures() {
  static const std::vector<MeasureFacts> kMeasures = {
      {v1::DENIES,
       Spread::kCount,
       30,
       event::v1::LOW,
       "denied connections",
       "action = BLOCKED",
       &HourlyMeasures::deny_count,
       {{"src.ip", ""}, {"dst.ip", ""}, {"dst.port", ""}}},
      {v1::UPLOADED_BYTES,
       Spread::kBytes,
       100 * kMebibytes,
       event::v1::MEDIUM,
       "bytes sent to the outside",
       kOutward,
       &HourlyMeasures::outside_bytes,
       {{"src.ip", "bytes_out"}, {"dst.ip", "bytes_out"}}},
      {v1::DESTINATIONS,
       Spread::kCount,
       20,
       event::v1::LOW,
       "different destinations outside",
       kOutward,
       &HourlyMeasures::outside_destination_count,
       {{"src.ip", "dst.ip"}, {"dst.port", "dst.ip"}}},
      {v1::SIGNATURES,
       Spread::kCount,
       10,
       event::v1::LOW,
       "matches of signatures",
       "signature != \"\" OR signature_id != \"\"",
       &HourlyMeasures::signature_count,
       {{"signature", ""}, {"src.ip", ""}, {"dst.ip", ""}}},
      {v1::GRAVE_SIGNATURES,
       Spread::kCount,
       5,
       event::v1::MEDIUM,
       "matches of grave signatures",
       "(signature != \"\" OR signature_id != \"\") AND severity >= HIGH",
       &HourlyMeasures::grave_signature_count,
       {{"signature", ""}, {"src.ip", ""}, {"dst.ip", ""}}},
      {v1::FAILED_LOGONS,
       Spread::kCount,
       10,
       event::v1::MEDIUM,
       "failed log-ons",
       "action = LOGON_FAILED",
       &HourlyMeasures::failed_logon_count,
       {{"user", ""}, {"src.ip", ""}}},
  };
  return kMeasures;
}

const MeasureFacts* FactsOf(v1::Measure measure) {
  const auto& all = AllMeasures();
  const auto found = std::find_if(all.begin(), all.end(), [measure](const MeasureFacts& facts) {
    return facts.measure == measure;
  });
  return found == all.end() ? nullptr : &*found;
}

std::string FilterValue(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '\\' || c == '"' || c == '\'' || c == '*') quoted += '\\';
    quoted += c;
  }
  return quoted + '"';
}

std::string AmountText(v1::Measure measure, double amount) {
  if (measure == v1::UPLOADED_BYTES) {
    constexpr std::array<const char*, 5> kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t unit = 0;
    while (amount >= 1024 && unit + 1 < kUnits.size()) {
      amount /= 1024;
      ++unit;
    }
    return fmt::format("{:.{}f} {}", amount, unit == 0 || amount >= 100 ? 0 : 1, kUnits.at(unit));
  }
  std::string digits = fmt::format("{:.0f}", std::max(amount, 0.0));
  for (auto at = static_cast<ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3) {
    digits.insert(static_cast<size_t>(at), ",");
  }
  return digits;
}

}  // namespace yagura::detection
