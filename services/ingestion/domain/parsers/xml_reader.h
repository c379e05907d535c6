#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "services/ingestion/domain/text_arena.h"

namespace yagura::ingestion {

// Reads a small XML document piece by piece: no validation, no document type (refused: nothing
// expands), no entities beyond the five and numbers, at most kMaxDepth elements in one another.
// Texts point into the document or the arena.
class XmlReader {
 public:
  enum class Piece {
    kOpen,       // name()
    kAttribute,  // name() and value() of the element that was opened
    kText,       // value(); one element may have several
    kClose,      // name()
    kEnd,        // the root is closed; rest() is what follows
    kError,      // error()
  };
  static constexpr size_t kMaxDepth = 32;

  XmlReader(std::string_view text, TextArena& arena) : rest_(text), arena_(arena) {}

  Piece Next();
  std::string_view name() const { return name_; }  // without its namespace's prefix
  std::string_view value() const { return value_; }
  std::string_view error() const { return error_; }
  std::string_view rest() const { return rest_; }

 private:
  Piece Fail(std::string_view why);
  Piece NextInTag();
  Piece NextOutside();
  Piece Open();
  Piece Close();
  bool SkipPast(std::string_view end);
  std::string_view TakeName();
  void SkipSpace();
  std::string_view Unescape(std::string_view text);

  std::string_view rest_;
  TextArena& arena_;
  std::array<std::string_view, kMaxDepth> open_{};
  size_t depth_ = 0;
  bool in_tag_ = false;
  bool ended_ = false;
  std::string_view name_;
  std::string_view value_;
  std::string_view error_;
};

}  // namespace yagura::ingestion
