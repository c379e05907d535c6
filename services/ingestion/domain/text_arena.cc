#include "services/ingestion/domain/text_arena.h"

#include <algorithm>
#include <cstring>

namespace yagura::ingestion {
namespace {
constexpr size_t kBlockBytes = 64 * 1024;
constexpr size_t kKeptBlocks = 16;
}  // namespace

char* TextArena::Reserve(size_t size) {
  while (current_ < blocks_.size() && blocks_[current_].size - used_ < size) {
    ++current_;
    used_ = 0;
  }
  if (current_ == blocks_.size()) {
    const size_t block = std::max(size, kBlockBytes);
    blocks_.push_back({std::make_unique_for_overwrite<char[]>(block), block});
    used_ = 0;
  }
  char* const start = blocks_[current_].data.get() + used_;
  used_ += size;
  return start;
}

std::string_view TextArena::Copy(std::string_view text) { return Join(text, {}); }

std::string_view TextArena::Join(std::string_view a, std::string_view b, std::string_view c) {
  const size_t size = a.size() + b.size() + c.size();
  char* const start = Reserve(size);
  char* at = std::copy(a.begin(), a.end(), start);
  at = std::copy(b.begin(), b.end(), at);
  std::copy(c.begin(), c.end(), at);
  return {start, size};
}

std::string_view TextArena::Lower(std::string_view text) {
  const auto is_upper = [](char c) { return c >= 'A' && c <= 'Z'; };
  if (std::none_of(text.begin(), text.end(), is_upper)) return text;
  char* const start = Reserve(text.size());
  std::transform(text.begin(), text.end(), start,
                 [&](char c) { return is_upper(c) ? static_cast<char>(c + 32) : c; });
  return {start, text.size()};
}

void TextArena::Clear() {
  if (blocks_.size() > kKeptBlocks) blocks_.resize(kKeptBlocks);
  current_ = 0;
  used_ = 0;
}

}  // namespace yagura::ingestion
