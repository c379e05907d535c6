#include "services/detection/domain/window_budget.h"

namespace yagura::detection {

void WindowBudget::Set(const std::string& key, const std::string& owner, size_t bytes) {
  const auto [found, is_new] = sizes_.try_emplace(key, Size{owner, 0});
  Size& size = found->second;
  owners_[size.owner] += bytes - size.bytes;
  bytes_ += bytes - size.bytes;
  size.bytes = bytes;
}

void WindowBudget::Remove(const std::string& key) {
  const auto found = sizes_.find(key);
  if (found == sizes_.end()) return;
  const auto owner = owners_.find(found->second.owner);
  bytes_ -= found->second.bytes;
  owner->second -= found->second.bytes;
  if (owner->second == 0) owners_.erase(owner);
  sizes_.erase(found);
}

size_t WindowBudget::bytes_of(const std::string& owner) const {
  const auto found = owners_.find(owner);
  return found == owners_.end() ? 0 : found->second;
}

}  // namespace yagura::detection
