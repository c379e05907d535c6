#include "services/detection/domain/group_keys.h"

#include <cstdint>

#include "services/detection/domain/findings.h"

namespace yagura::detection {
namespace {

constexpr size_t kLongestKnown = 1024;
constexpr size_t kOverhead = 120;  // of one in the table, about

void AddText(std::string_view part, std::string& text) {
  const auto size = static_cast<uint32_t>(part.size());
  text.append(reinterpret_cast<const char*>(&size), sizeof size);
  text += part;
}

}  // namespace

std::string GroupKeys::Of(std::string_view tenant, const internal::v1::RuleSummary& rule,
                          const internal::v1::Hit& hit) {
  text_.clear();
  AddText(tenant, text_);
  AddText(rule.id(), text_);
  AddText(rule.version(), text_);
  for (const auto& field : hit.group()) {
    AddText(field.name(), text_);
    AddText(field.value(), text_);
  }
  if (const auto known = keys_.find(text_); known != keys_.end()) return known->second;
  std::string key = GroupKey(tenant, rule, hit);
  if (text_.size() > kLongestKnown) return key;
  const size_t bytes = text_.size() + key.size() + kOverhead;
  if (bytes_ + bytes > kMostBytes) {
    keys_.clear();
    bytes_ = 0;
  }
  bytes_ += bytes;
  keys_.emplace(text_, key);
  return key;
}

}  // namespace yagura::detection
