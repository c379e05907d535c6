#include "services/detection/domain/group_keys.h"

#include <cstdint>

#include "services/detection/domain/findings.h"

namespace yagura::detection {
namespace {

constexpr size_t kMostKnown = 8192;
constexpr size_t kLongestKnown = 1024;

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
  if (keys_.size() >= kMostKnown) keys_.clear();
  keys_.emplace(text_, key);
  return key;
}

}  // namespace yagura::detection
