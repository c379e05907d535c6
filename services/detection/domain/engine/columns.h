#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/event/batch_codec.h"
#include "services/detection/domain/engine/matcher.h"

namespace yagura::detection {

// One column of a batch with its distinct values as text and with their case folded.
class TextColumn {
 public:
  // Borrows from `column`, which lives as long as the batch's reader. `core` says how numbers and
  // addresses are written: nullopt for original fields, which are texts.
  TextColumn(const event::Column& column, std::optional<event::Core> core);
  TextColumn(TextColumn&&) = default;
  TextColumn& operator=(TextColumn&&) = default;

  size_t distinct() const { return texts_.size(); }
  MatchValue value(size_t index) const { return {texts_[index], folded_[index]}; }
  // 0 where the event has no value, else 1 + index of the value.
  const std::vector<uint16_t>& rows() const { return *rows_; }
  std::string_view text(size_t row) const {
    const uint16_t value = row < rows_->size() ? (*rows_)[row] : 0;
    return value == 0 ? std::string_view() : texts_[value - 1];
  }
  std::string_view folded(size_t row) const {
    const uint16_t value = row < rows_->size() ? (*rows_)[row] : 0;
    return value == 0 ? std::string_view() : folded_[value - 1];
  }
  bool has(size_t row) const { return row < rows_->size() && (*rows_)[row] != 0; }

 private:
  const std::vector<uint16_t>* rows_;
  std::vector<std::string> rendered_;
  std::vector<std::string_view> texts_;
  std::vector<std::string_view> folded_;
  std::unique_ptr<char[]> folded_bytes_;
};

}  // namespace yagura::detection
