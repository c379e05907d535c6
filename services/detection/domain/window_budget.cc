#include "services/detection/domain/window_budget.h"

namespace yagura::detection {

void WindowBudget::Set(const std::string& key, const std::string& owner, size_t bytes) {
  if (Resize(key, bytes)) return;
  sizes_.emplace(key, Size{owners_.try_emplace(owner, 0).first, 0});
  Resize(key, bytes);
}

bool WindowBudget::Resize(const std::string& key, size_t bytes) {
  const auto found = sizes_.find(key);
  if (found == sizes_.end()) return false;
  Size& size = found->second;
  size.owner->second += bytes - size.bytes;
  bytes_ += bytes - size.bytes;
  size.bytes = bytes;
  return true;
}

void WindowBudget::Remove(const std::string& key) {
  const auto found = sizes_.find(key);
  if (found == sizes_.end()) return;
  const Size& size = found->second;
  bytes_ -= size.bytes;
  size.owner->second -= size.bytes;
  if (size.owner->second == 0) owners_.erase(size.owner);
  sizes_.erase(found);
}

size_t WindowBudget::bytes_of(const std::string& owner) const {
  const auto found = owners_.find(owner);
  return found == owners_.end() ? 0 : found->second;
}

}  // namespace yagura::detection
