#include "services/detection/domain/window_budget.h"

#include <algorithm>

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

std::string WindowBudget::heaviest() const {
  const auto most =
      std::max_element(owners_.begin(), owners_.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == owners_.end() ? std::string() : most->first;
}

size_t WindowBudget::next_bytes() const {
  size_t first = 0;
  size_t second = 0;
  for (const auto& [owner, bytes] : owners_) {
    second = std::max(second, std::min(first, bytes));
    first = std::max(first, bytes);
  }
  return second;
}

}  // namespace yagura::detection
