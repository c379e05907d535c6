#include "services/config/domain/unified_diff.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::config {
namespace {

constexpr int kMaxEdits = 2000;
constexpr size_t kContext = 3;
constexpr std::string_view kNoNewline = "\\ No newline at end of file\n";

using Lines = std::vector<std::string_view>;  // each with its newline, but perhaps for the last

Lines SplitLines(std::string_view text) {
  Lines lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size() - 1) + 1;
    lines.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return lines;
}

enum class Kind : char { kSame = ' ', kRemoved = '-', kAdded = '+' };

struct Edit {
  Kind kind;
  size_t base;   // index in base, before the edit
  size_t other;  // index in other, before the edit
};

// Myers' greedy algorithm over base[first_a, end_a) and other[first_b, end_b). Nothing where they
// differ too much.
class Myers {
 public:
  Myers(const Lines& a, const Lines& b, size_t skip, int n, int m)
      : a_(a), b_(b), skip_(skip), n_(n), m_(m) {}

  std::optional<std::vector<Edit>> Run() {
    std::vector<int> furthest(2 * kMaxEdits + 3, 0);
    for (int edits = 0; edits <= std::min(n_ + m_, kMaxEdits); ++edits) {
      trace_.emplace_back(furthest.begin() + kMaxEdits - edits,
                          furthest.begin() + kMaxEdits + edits + 3);
      for (int k = -edits; k <= edits; k += 2) {
        int* v = furthest.data() + kMaxEdits + 1;
        int x = ComesFromAbove(k, edits, v) ? v[k + 1] : v[k - 1] + 1;
        while (x < n_ && x - k < m_ && a_[skip_ + x] == b_[skip_ + x - k]) ++x;
        v[k] = x;
        if (x >= n_ && x - k >= m_) return WalkBack(edits);
      }
    }
    return std::nullopt;
  }

 private:
  static bool ComesFromAbove(int k, int edits, const int* v) {
    return k == -edits || (k != edits && v[k - 1] < v[k + 1]);
  }

  std::vector<Edit> WalkBack(int edits) const {
    std::vector<Edit> result;
    int x = n_;
    int y = m_;
    for (int d = edits; d >= 0; --d) {
      const int* v = trace_[d].data() + d + 1;  // the state before round d
      const int k = x - y;
      const bool above = ComesFromAbove(k, d, v);
      const int start_x = d == 0 ? 0 : (above ? v[k + 1] : v[k - 1]);
      const int snake_x = d == 0 ? 0 : (above ? start_x : start_x + 1);
      while (x > snake_x) Push(result, Kind::kSame, --x, --y);
      if (d == 0) break;
      if (above) {
        Push(result, Kind::kAdded, x, --y);
      } else {
        Push(result, Kind::kRemoved, --x, y);
      }
    }
    std::reverse(result.begin(), result.end());
    return result;
  }

  void Push(std::vector<Edit>& edits, Kind kind, int x, int y) const {
    edits.push_back({kind, skip_ + static_cast<size_t>(x), skip_ + static_cast<size_t>(y)});
  }

  const Lines& a_;
  const Lines& b_;
  const size_t skip_;
  const int n_;
  const int m_;
  std::vector<std::vector<int>> trace_;
};

std::vector<Edit> Edits(const Lines& a, const Lines& b) {
  size_t prefix = 0;
  while (prefix < a.size() && prefix < b.size() && a[prefix] == b[prefix]) ++prefix;
  size_t suffix = 0;
  while (suffix < a.size() - prefix && suffix < b.size() - prefix &&
         a[a.size() - 1 - suffix] == b[b.size() - 1 - suffix]) {
    ++suffix;
  }
  const size_t n = a.size() - prefix - suffix;
  const size_t m = b.size() - prefix - suffix;

  std::vector<Edit> edits;
  for (size_t i = 0; i < prefix; ++i) edits.push_back({Kind::kSame, i, i});
  auto middle = Myers(a, b, prefix, static_cast<int>(n), static_cast<int>(m)).Run();
  if (!middle) {
    middle.emplace();
    for (size_t i = 0; i < n; ++i) middle->push_back({Kind::kRemoved, prefix + i, prefix});
    for (size_t i = 0; i < m; ++i) middle->push_back({Kind::kAdded, prefix + n, prefix + i});
  }
  edits.insert(edits.end(), middle->begin(), middle->end());
  for (size_t i = 0; i < suffix; ++i) {
    edits.push_back({Kind::kSame, prefix + n + i, prefix + m + i});
  }
  return edits;
}

void AppendLine(std::string& out, Kind kind, std::string_view line) {
  out += static_cast<char>(kind);
  out += line;
  if (line.empty() || line.back() != '\n') {
    out += '\n';
    out += kNoNewline;
  }
}

std::string Range(size_t first, size_t count) {
  // A unified diff counts from 1, and names the line before an empty range.
  const size_t shown = count == 0 ? first : first + 1;
  return count == 1 ? fmt::format("{}", shown) : fmt::format("{},{}", shown, count);
}

void AppendHunk(std::string& out, const std::vector<Edit>& edits, size_t begin, size_t end,
                const Lines& a, const Lines& b) {
  size_t removed = 0;
  size_t added = 0;
  for (size_t i = begin; i < end; ++i) {
    removed += edits[i].kind != Kind::kAdded ? 1 : 0;
    added += edits[i].kind != Kind::kRemoved ? 1 : 0;
  }
  out += fmt::format("@@ -{} +{} @@\n", Range(edits[begin].base, removed),
                     Range(edits[begin].other, added));
  for (size_t i = begin; i < end; ++i) {
    const Edit& edit = edits[i];
    AppendLine(out, edit.kind, edit.kind == Kind::kAdded ? b[edit.other] : a[edit.base]);
  }
}

// One past the last edit of the hunk whose first change is at `change`.
size_t HunkEnd(const std::vector<Edit>& edits, size_t change) {
  size_t last = change;
  for (size_t i = change; i < edits.size() && i <= last + 2 * kContext; ++i) {
    if (edits[i].kind != Kind::kSame) last = i;
  }
  return std::min(last + kContext + 1, edits.size());
}

// A patch being applied.
class Patcher {
 public:
  Patcher(std::string_view field, std::string_view base, std::string_view patch)
      : field_(field), base_(SplitLines(base)), patch_(SplitLines(patch)) {}

  StatusOr<std::string> Run() {
    bool any = false;
    while (at_ < patch_.size()) {
      if (!patch_[at_].starts_with("@@ -")) {
        if (any && !Trim(patch_[at_]).empty()) return Wrong("expected a hunk");
        ++at_;  // labels
        continue;
      }
      any = true;
      YAGURA_RETURN_IF_ERROR(Hunk());
    }
    if (!any) return InvalidField(field_, "has no hunk");
    while (copied_ < base_.size()) out_ += base_[copied_++];
    return std::move(out_);
  }

 private:
  Status Wrong(std::string_view why) const {
    return InvalidField(field_, fmt::format("line {} of the patch: {}", at_ + 1, why));
  }

  // "-3,4" or "-3": first line and count.
  static std::optional<std::pair<size_t, size_t>> ParseRange(std::string_view text) {
    const size_t comma = text.find(',');
    const auto first = ParseNumber<size_t>(text.substr(0, comma));
    const auto count = comma == std::string_view::npos
                           ? std::optional<size_t>(1)
                           : ParseNumber<size_t>(text.substr(comma + 1));
    if (!first || !count) return std::nullopt;
    return std::pair(*first, *count);
  }

  Status Hunk() {
    const std::vector<std::string_view> words = Split(patch_[at_], ' ');
    if (words.size() < 4 || words[1].size() < 2 || words[2].size() < 2 || words[2][0] != '+') {
      return Wrong("malformed hunk header");
    }
    const auto old_range = ParseRange(words[1].substr(1));
    const auto new_range = ParseRange(words[2].substr(1));
    if (!old_range || !new_range) return Wrong("malformed hunk header");
    auto [first, old_left] = *old_range;
    size_t new_left = new_range->second;
    const size_t start = old_left == 0 ? first : first - 1;
    if ((old_left > 0 && first == 0) || start < copied_ || start > base_.size()) {
      return Wrong("the hunk lies outside of the base");
    }
    while (copied_ < start) out_ += base_[copied_++];
    ++at_;
    while (old_left > 0 || new_left > 0) {
      if (at_ >= patch_.size()) return Wrong("the hunk ends too early");
      YAGURA_RETURN_IF_ERROR(Line(old_left, new_left));
    }
    return absl::OkStatus();
  }

  Status Line(size_t& old_left, size_t& new_left) {
    std::string_view line = patch_[at_];
    const char kind = line[0];
    line.remove_prefix(kind == '\n' ? 0 : 1);  // editors strip the blank of an empty line
    const bool no_newline = at_ + 1 < patch_.size() && patch_[at_ + 1].starts_with("\\ ");
    if (no_newline && line.ends_with('\n')) line.remove_suffix(1);
    const bool is_old = kind != '+';
    const bool is_new = kind != '-';
    if (kind != ' ' && kind != '+' && kind != '-' && kind != '\n') {
      return Wrong("must begin with ' ', '+' or '-'");
    }
    if ((is_old && old_left == 0) || (is_new && new_left == 0)) {
      return Wrong("the hunk is longer than its header says");
    }
    if (is_old) {
      if (copied_ >= base_.size() || base_[copied_] != line) return Wrong("does not fit the base");
      ++copied_;
      --old_left;
    }
    if (is_new) {
      out_ += line;
      --new_left;
    }
    at_ += no_newline ? 2 : 1;
    return absl::OkStatus();
  }

  const std::string_view field_;
  const Lines base_;
  const Lines patch_;
  size_t at_ = 0;      // in patch_
  size_t copied_ = 0;  // of base_
  std::string out_;
};

}  // namespace

UnifiedDiff DiffLines(std::string_view base, std::string_view other, std::string_view base_label,
                      std::string_view other_label) {
  const Lines a = SplitLines(base);
  const Lines b = SplitLines(other);
  const std::vector<Edit> edits = Edits(a, b);
  UnifiedDiff diff;
  for (const Edit& edit : edits) {
    diff.added += edit.kind == Kind::kAdded ? 1 : 0;
    diff.removed += edit.kind == Kind::kRemoved ? 1 : 0;
  }
  if (diff.added + diff.removed == 0) return diff;
  diff.text = fmt::format("--- {}\n+++ {}\n", base_label, other_label);
  for (size_t i = 0; i < edits.size();) {
    if (edits[i].kind == Kind::kSame) {
      ++i;
      continue;
    }
    const size_t end = HunkEnd(edits, i);
    AppendHunk(diff.text, edits, i - std::min(i, kContext), end, a, b);
    i = end;
  }
  return diff;
}

StatusOr<std::string> ApplyPatch(std::string_view field, std::string_view base,
                                 std::string_view patch) {
  return Patcher(field, base, patch).Run();
}

}  // namespace yagura::config
