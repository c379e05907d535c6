#pragma once

#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

namespace yagura::ingestion {

// Memory for texts that are not a piece of the line itself (unescaped or joined values). Views stay
// valid until Clear, which keeps the memory. Not thread-safe.
class TextArena {
 public:
  // Room for `size` bytes; give back what was not used with Shrink.
  char* Reserve(size_t size);
  // The last Reserve used only `used` bytes of its `reserved`.
  void Shrink(size_t reserved, size_t used) { used_ -= reserved - used; }
  std::string_view Copy(std::string_view text);
  std::string_view Join(std::string_view a, std::string_view b, std::string_view c = {});
  std::string_view Lower(std::string_view text);
  void Clear();

 private:
  struct Block {
    std::unique_ptr<char[]> data;
    size_t size;
  };
  std::vector<Block> blocks_;
  size_t current_ = 0;
  size_t used_ = 0;  // of the current block
};

}  // namespace yagura::ingestion
