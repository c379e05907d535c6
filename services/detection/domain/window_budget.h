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
  // The same of one that is known; false: it is not.
  bool Resize(const std::string& key, size_t bytes);
  void Remove(const std::string& key);

  size_t bytes() const { return bytes_; }
  size_t bytes_of(const std::string& owner) const;
  // What each takes, by name.
  const std::map<std::string, size_t>& owners() const { return owners_; }

 private:
  struct Size {
    std::map<std::string, size_t>::iterator owner;  // is there while any group of it is
    size_t bytes = 0;
  };
  std::unordered_map<std::string, Size> sizes_;  // by group
  std::map<std::string, size_t> owners_;
  size_t bytes_ = 0;
};

}  // namespace yagura::detection
