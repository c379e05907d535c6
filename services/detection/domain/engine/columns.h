#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/event/batch_codec.h"

namespace yagura::detection {

// One column of a batch with its distinct values as text.
class TextColumn {
 public:
  static constexpr uint32_t kUndecided = UINT32_MAX;

  // Borrows from `column`, which lives as long as the batch's reader. `core` says how numbers and
  // addresses are written: nullopt for original fields, which are texts.
  TextColumn(const event::Column& column, std::optional<event::Core> core);

  size_t distinct() const { return texts_->size(); }
  std::string_view value(size_t index) const { return (*texts_)[index]; }
  // 0 where the event has no value, else 1 + index of the value.
  const std::vector<uint16_t>& rows() const { return *rows_; }
  std::string_view text(size_t row) const {
    const uint16_t value = row < rows_->size() ? (*rows_)[row] : 0;
    return value == 0 ? std::string_view() : (*texts_)[value - 1];
  }
  bool has(size_t row) const { return row < rows_->size() && (*rows_)[row] != 0; }

  // What has been decided about each distinct value, kUndecided at first.
  std::vector<uint32_t>& decided() {
    if (decided_.empty()) decided_.assign(texts_->size(), kUndecided);
    return decided_;
  }

 private:
  const std::vector<uint16_t>* rows_;
  const std::vector<std::string_view>* texts_;
  struct Rendered {
    std::vector<std::string> texts;
    std::vector<std::string_view> views;
  };
  std::unique_ptr<Rendered> rendered_;  // of what is no text
  std::vector<uint32_t> decided_;
};

}  // namespace yagura::detection
