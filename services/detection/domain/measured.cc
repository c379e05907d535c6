#include "services/detection/domain/measured.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace yagura::detection {
namespace {

using internal::v1::Measured;
using internal::v1::RuleSummary;

// Digests are spread evenly: how low the last of the lowest is says how many there are.
double CountOf(const Measured& measured) {
  const int size = measured.keys_size();
  if (size < kMaxMeasuredValues) return size;
  const double share = std::ldexp(static_cast<double>(measured.keys(size - 1)) + 1, -64);
  return std::max<double>(size, std::round((size - 1) / share));
}

// Keeps the lowest, ascending.
void AddValue(uint64_t key, Measured& measured) {
  auto& keys = *measured.mutable_keys();
  const auto place = std::ranges::lower_bound(keys, key);
  if (place != keys.end() && *place == key) return;
  const auto at = place - keys.begin();
  if (at == kMaxMeasuredValues) return;
  keys.Add(key);
  std::rotate(keys.begin() + at, keys.end() - 1, keys.end());
  if (keys.size() > kMaxMeasuredValues) keys.RemoveLast();
}

}  // namespace

bool IsMeasured(const RuleSummary& rule) {
  return !rule.silent() && !rule.measure().empty() && !rule.at_end();
}

void AddMeasured(const RuleSummary& rule, const PendingEvent& event, Measured& measured) {
  switch (rule.type()) {
    case internal::v1::VALUE_SUM:
      measured.set_sum(measured.sum() + event.number);
      return RaiseMeasured(measured.sum(), measured);
    case internal::v1::VALUE_COUNT:
      AddValue(event.key, measured);
      return RaiseMeasured(CountOf(measured), measured);
    case internal::v1::TEMPORAL:
    case internal::v1::TEMPORAL_ORDERED:
      if (measured.keys().empty()) measured.add_keys(0);
      measured.set_keys(0, measured.keys(0) | event.key);
      return RaiseMeasured(std::popcount(measured.keys(0)), measured);
    default:
      return;
  }
}

void RaiseMeasured(double measure, Measured& measured) {
  measured.set_most(measured.has_most() ? std::max(measured.most(), measure) : measure);
}

}  // namespace yagura::detection
