#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

namespace yagura::detection {

// What the groups of one shard of "hits" take, in bytes as they are kept, by rule and tenant. It
// follows from the groups alone, so that the same hits let the same groups go. Not thread-safe.
class WindowBudget {
 public:
  // A group is that large now; `owner`: its tenant and rule.
  void Set(const std::string& key, const std::string& owner, size_t bytes);
  void Remove(const std::string& key);

  size_t bytes() const { return bytes_; }
  size_t bytes_of(const std::string& owner) const;
  // Who takes the most, the first by name among equals: a tenant's flood costs that tenant's
  // windows, and a rule's that rule's. Empty: there is no group.
  std::string heaviest() const;
  // What is left of the heaviest's share when it is as heavy as the next.
  size_t next_bytes() const;

 private:
  struct Size {
    std::string owner;
    size_t bytes = 0;
  };
  std::unordered_map<std::string, Size> sizes_;  // by group
  std::map<std::string, size_t> owners_;
  size_t bytes_ = 0;
};

}  // namespace yagura::detection
