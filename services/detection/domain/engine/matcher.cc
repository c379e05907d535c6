#include "services/detection/domain/engine/matcher.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/text/text.h"
#include "re2/re2.h"
#include "services/detection/domain/engine/address.h"
#include "services/detection/domain/engine/case_fold.h"

namespace yagura::detection {
namespace {

constexpr int64_t kMaxRegexMemory = 4 << 20;
// Instructions of RE2. At worst each is looked at for each byte of a value: the time is the
// product. An expression that wants many bytes is not tried on shorter values, so it may have more.
constexpr size_t kMaxRegexSize = 3000;
constexpr size_t kRegexSizePerByte = 8;

}  // namespace

Matcher Matcher::Text(const Pattern& pattern, Placement placement, bool cased) {
  Matcher matcher;
  matcher.cased_ = cased;
  Pattern glob;
  const auto add = [&glob](uint16_t element) {
    if (element != kAnyText || glob.empty() || glob.back() != kAnyText) glob.push_back(element);
  };
  if (placement == Placement::kEnd || placement == Placement::kAnywhere) add(kAnyText);
  for (const uint16_t element : cased ? pattern : FoldPattern(pattern)) add(element);
  if (placement == Placement::kStart || placement == Placement::kAnywhere) add(kAnyText);

  // Wildcards at the ends alone need no glob.
  const bool front = !glob.empty() && glob.front() == kAnyText;
  const bool back = glob.size() > 1 && glob.back() == kAnyText;
  const size_t begin = front ? 1 : 0;
  const size_t end = glob.size() - (back ? 1 : 0);
  bool inner = false;
  for (size_t i = begin; i < end; ++i) {
    inner = inner || glob[i] > 255;
    matcher.text_ += static_cast<char>(glob[i]);
  }
  if (inner) {
    matcher.kind_ = Kind::kGlob;
    matcher.text_.clear();
    matcher.glob_ = std::move(glob);
  } else if (front && (back || glob.size() == 1)) {
    matcher.kind_ = Kind::kContains;
  } else if (front) {
    matcher.kind_ = Kind::kEndsWith;
  } else if (back) {
    matcher.kind_ = Kind::kStartsWith;
  }
  return matcher;
}

absl::StatusOr<Matcher> Matcher::Regex(std::string_view expression, std::string_view flags) {
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(kMaxRegexMemory);
  const std::string text =
      flags.empty() ? std::string(expression) : fmt::format("(?{}){}", flags, expression);
  auto regex = std::make_shared<const re2::RE2>(text, options);
  if (!regex->ok()) {
    return absl::InvalidArgumentError(
        fmt::format("not a regular expression that RE2 takes: {}", regex->error()));
  }
  Matcher matcher;
  matcher.kind_ = Kind::kRegex;
  matcher.least_size_ = NeedsOfRegex(text).least_size;
  matcher.any_run_ = AnyRunOfRegex(text);
  const auto size = static_cast<size_t>(std::max(regex->ProgramSize(), 0));
  const size_t most = kMaxRegexSize + kRegexSizePerByte * matcher.least_size_;
  if (size > most) {
    return absl::InvalidArgumentError(
        fmt::format("the regular expression is too costly: {} steps once its repetitions are "
                    "written out, of at most {}",
                    size, most));
  }
  matcher.regex_size_ = size;
  matcher.text_ = text;
  matcher.regex_ = std::move(regex);
  return matcher;
}

absl::StatusOr<Matcher> Matcher::Cidr(std::string_view block) {
  const size_t slash = block.find('/');
  const auto address = ParseAddress(block.substr(0, slash));
  unsigned prefix = 128;
  if (address && slash != std::string_view::npos) {
    const auto bits = ParseNumber<unsigned>(block.substr(slash + 1));
    prefix = bits && *bits <= (address->v4 ? 32U : 128U) ? *bits + (address->v4 ? 96U : 0U) : 129;
  }
  if (!address || prefix > 128) {
    return absl::InvalidArgumentError(fmt::format("\"{}\" is not a CIDR block", block));
  }
  Matcher matcher;
  matcher.kind_ = Kind::kCidr;
  matcher.text_ = block;
  matcher.low_ = matcher.high_ = address->bytes;
  for (unsigned bit = prefix; bit < 128; ++bit) {
    const auto mask = static_cast<uint8_t>(0x80U >> (bit % 8));
    matcher.low_[bit / 8] = static_cast<uint8_t>(matcher.low_[bit / 8] & ~mask);
    matcher.high_[bit / 8] = static_cast<uint8_t>(matcher.high_[bit / 8] | mask);
  }
  return matcher;
}

absl::StatusOr<Matcher> Matcher::Compare(Kind kind, std::string_view number) {
  const auto value = ParseNumber<double>(number);
  if (!value) return absl::InvalidArgumentError(fmt::format("\"{}\" is not a number", number));
  Matcher matcher;
  matcher.kind_ = kind;
  matcher.text_ = number;
  matcher.number_ = *value;
  return matcher;
}

absl::StatusOr<Matcher> Matcher::Time(TimePart part, Kind relation, std::string_view number) {
  const auto value = ParseNumber<int64_t>(number);
  if (!value || !IsPossible(part, *value)) {
    return absl::InvalidArgumentError(
        fmt::format("\"{}\" is not a number that this part of a date can be", number));
  }
  Matcher matcher;
  matcher.kind_ = Kind::kTimePart;
  matcher.text_ =
      fmt::format("{} {} {}", static_cast<int>(part), static_cast<int>(relation), *value);
  matcher.number_ = static_cast<double>(*value);
  matcher.time_part_ = part;
  matcher.relation_ = relation;
  return matcher;
}

bool Matcher::Matches(const MatchValue& value) const {
  const std::string_view text = cased_ ? value.text : value.folded;
  switch (kind_) {
    case Kind::kEquals:
      return text == text_;
    case Kind::kStartsWith:
      return text.starts_with(text_);
    case Kind::kEndsWith:
      return text.ends_with(text_);
    case Kind::kContains:
      return text_.size() <= text.size() &&
             (text_.empty() ||
              memmem(text.data(), text.size(), text_.data(), text_.size()) != nullptr);
    case Kind::kGlob:
      return MatchesGlob(text);
    case Kind::kRegex:
      return MatchesRegex(value.text);
    case Kind::kCidr:
      return MatchesCidr(value.text);
    case Kind::kLess:
    case Kind::kLessEqual:
    case Kind::kGreater:
    case Kind::kGreaterEqual:
      return MatchesNumber(value.text);
    case Kind::kTimePart:
      return MatchesTime(value.text);
  }
  return false;
}

namespace {

// Bytes of the begin of `value` that one element other than kAnyText takes; 0: it does not fit.
size_t Taken(uint16_t element, std::string_view value) {
  if (element < 256) return element == static_cast<uint8_t>(value.front()) ? 1 : 0;
  if (element == kAnyDash) return DashSize(value);
  size_t size = 1;
  while (size < value.size() && (static_cast<uint8_t>(value[size]) & 0xC0U) == 0x80U) ++size;
  return size;
}

}  // namespace

bool Matcher::MatchesGlob(std::string_view value) const {
  size_t at = 0;
  size_t element = 0;
  size_t star = glob_.size();  // the last star seen
  size_t star_at = 0;          // where what follows it was tried last
  while (at < value.size()) {
    if (element < glob_.size() && glob_[element] == kAnyText) {
      star = element++;
      star_at = at;
      // A star at the end takes all that is left.
      if (element == glob_.size()) return true;
      continue;
    }
    const size_t taken = element < glob_.size() ? Taken(glob_[element], value.substr(at)) : 0;
    if (taken > 0) {
      ++element;
      at += taken;
    } else if (star < glob_.size()) {
      element = star + 1;
      at = ++star_at;
    } else {
      return false;
    }
  }
  while (element < glob_.size() && glob_[element] == kAnyText) ++element;
  return element == glob_.size();
}

bool Matcher::MatchesRegex(std::string_view value) const {
  if (value.size() < least_size_) return false;
  if (any_run_) {
    if (const auto found = any_run_->IsIn(value)) return *found;
  }
  return re2::RE2::PartialMatch(re2::StringPiece(value.data(), value.size()), *regex_);
}

bool Matcher::MatchesCidr(std::string_view value) const {
  const auto address = ParseAddress(value);
  return address && low_ <= address->bytes && address->bytes <= high_;
}

namespace {

bool Stands(double number, Matcher::Kind relation, double to) {
  switch (relation) {
    case Matcher::Kind::kLess:
      return number < to;
    case Matcher::Kind::kLessEqual:
      return number <= to;
    case Matcher::Kind::kGreater:
      return number > to;
    case Matcher::Kind::kGreaterEqual:
      return number >= to;
    default:
      return number == to;
  }
}

}  // namespace

bool Matcher::MatchesNumber(std::string_view value) const {
  const auto number = ParseNumber<double>(value);
  return number && Stands(*number, kind_, number_);
}

bool Matcher::MatchesTime(std::string_view value) const {
  const auto number = ReadTimePart(value, time_part_);
  return number && Stands(*number, relation_, number_);
}

std::vector<std::string> Matcher::RequiredLiterals() const {
  switch (kind_) {
    case Kind::kStartsWith:
    case Kind::kEndsWith:
    case Kind::kContains:
    case Kind::kGlob:
      break;
    case Kind::kRegex:
      return NeedsOfRegex(text_).literals;
    default:
      return {};
  }
  std::string longest = text_;
  std::string run;
  for (const uint16_t element : glob_) {
    if (element < 256) {
      run += static_cast<char>(element);
      if (run.size() > longest.size()) longest = run;
    } else {
      run.clear();
    }
  }
  // Bytes that are no characters by themselves may be folded together with their neighbours.
  const bool ascii = std::all_of(longest.begin(), longest.end(),
                                 [](char c) { return static_cast<uint8_t>(c) < 0x80; });
  if (longest.empty() || (cased_ && !ascii)) return {};
  return {cased_ ? FoldCase(longest) : longest};
}

std::string Matcher::Key() const {
  std::string key = fmt::format("{}{}:", static_cast<int>(kind_), cased_ ? 'c' : 'i');
  key += text_;
  for (const uint16_t element : glob_) {
    key += static_cast<char>(element & 0xFFU);
    key += static_cast<char>(element >> 8U);
  }
  return key;
}

int Matcher::cost() const {
  switch (kind_) {
    case Kind::kEquals:
    case Kind::kStartsWith:
    case Kind::kEndsWith:
      return 1;
    case Kind::kContains:
      return 4;
    case Kind::kGlob:
    case Kind::kCidr:
    case Kind::kLess:
    case Kind::kLessEqual:
    case Kind::kGreater:
    case Kind::kGreaterEqual:
    case Kind::kTimePart:
      return 6;
    case Kind::kRegex:
      return 40;
  }
  return 1;
}

}  // namespace yagura::detection
