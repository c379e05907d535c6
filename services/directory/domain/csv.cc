#include "services/directory/domain/csv.h"

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::directory {
namespace {

absl::Status Bad(int line, std::string_view what) {
  return InvalidField("csv", fmt::format("line {}: {}", line, what));
}

class Parser {
 public:
  Parser(std::string_view text, const CsvLimits& limits) : text_(text), limits_(limits) {}

  absl::StatusOr<std::vector<CsvRow>> Run() {
    while (at_ < text_.size()) {
      YAGURA_ASSIGN_OR_RETURN(CsvRow row, ReadRow());
      const bool blank = row.cells.size() == 1 && row.cells.front().empty();
      if (blank) continue;
      if (rows_.size() == limits_.rows) return Bad(row.line, "too many rows");
      rows_.push_back(std::move(row));
    }
    return std::move(rows_);
  }

 private:
  bool AtLineEnd() const {
    return at_ >= text_.size() || text_[at_] == '\n' ||
           (text_[at_] == '\r' && at_ + 1 < text_.size() && text_[at_ + 1] == '\n');
  }

  absl::StatusOr<CsvRow> ReadRow() {
    CsvRow row;
    row.line = line_;
    while (true) {
      YAGURA_ASSIGN_OR_RETURN(std::string cell, ReadCell());
      if (row.cells.size() == limits_.columns) return Bad(row.line, "too many columns");
      row.cells.push_back(std::move(cell));
      if (AtLineEnd()) break;
      ++at_;  // the comma
    }
    if (at_ < text_.size()) {
      at_ += text_[at_] == '\r' ? 2 : 1;
      ++line_;
    }
    return row;
  }

  absl::StatusOr<std::string> ReadCell() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t')) ++at_;
    if (at_ < text_.size() && text_[at_] == '"') return ReadQuoted();
    const size_t begin = at_;
    while (!AtLineEnd() && text_[at_] != ',') {
      if (text_[at_] == '"')
        return Bad(line_, "a quote within a cell that does not begin with one");
      ++at_;
    }
    if (at_ - begin > limits_.cell_bytes) return Bad(line_, "a cell is too long");
    return std::string(Trim(text_.substr(begin, at_ - begin)));
  }

  absl::StatusOr<std::string> ReadQuoted() {
    const int began = line_;
    std::string cell;
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == '"') {
        if (at_ + 1 >= text_.size() || text_[at_ + 1] != '"') return EndQuoted(std::move(cell));
        ++at_;
      }
      if (text_[at_] == '\n') ++line_;
      cell += text_[at_];
      if (cell.size() > limits_.cell_bytes) return Bad(began, "a cell is too long");
    }
    return Bad(began, "a quote is not closed");
  }

  absl::StatusOr<std::string> EndQuoted(std::string cell) {
    ++at_;
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t')) ++at_;
    if (!AtLineEnd() && text_[at_] != ',') return Bad(line_, "text behind a closing quote");
    return cell;
  }

  const std::string_view text_;
  const CsvLimits& limits_;
  size_t at_ = 0;
  int line_ = 1;
  std::vector<CsvRow> rows_;
};

}  // namespace

absl::StatusOr<std::vector<CsvRow>> ParseCsv(std::string_view text, const CsvLimits& limits) {
  if (text.size() > limits.bytes) {
    return InvalidField("csv", fmt::format("has more than {} bytes", limits.bytes));
  }
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  if (!IsValidUtf8(text)) return InvalidField("csv", "is not UTF-8");
  if (text.find('\0') != std::string_view::npos) return InvalidField("csv", "has zero bytes");
  return Parser(text, limits).Run();
}

}  // namespace yagura::directory
