#include "services/ingestion/domain/described/steps.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "fmt/format.h"

#include "common/status/status.h"
#include "services/ingestion/domain/parsers/fields.h"

namespace yagura::ingestion {
namespace {

bool SaysNothing(std::string_view text) {
  return text.empty() || text == "-" || text == "?" || text == "N/A";
}

bool RunAll(const Steps& steps, StepContext& context) {
  return std::all_of(steps.begin(), steps.end(),
                     [&context](const auto& step) { return step->Run(context); });
}

// Seconds of "0:00:30", "30:00", "1d 2h:03m:04s": days, hours, minutes and seconds, of which those
// in front may be missing.
std::optional<std::chrono::seconds> ReadClock(std::string_view text) {
  constexpr std::array<std::pair<char, int64_t>, 4> kUnits{
      {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}}};
  constexpr uint32_t kMost = 1'000'000'000;
  int64_t seconds = 0;
  for (const auto& [letter, unit] : kUnits) {
    const size_t start = text.find_last_of(": ");
    std::string_view part = start == text.npos ? text : text.substr(start + 1);
    if (part.ends_with(letter)) part.remove_suffix(1);
    const auto number = ParseNumber<uint32_t>(part);
    if (!number || *number > kMost) return std::nullopt;
    seconds += *number * unit;
    if (start == text.npos) {
      constexpr int64_t kLongest = 100LL * 366 * 86400;
      if (seconds > kLongest) return std::nullopt;
      return std::chrono::seconds(seconds);
    }
    text = text.substr(0, start);
  }
  return std::nullopt;
}

// Takes one value and its separator off `text`; false at the end.
class CsvReader {
 public:
  CsvReader(std::string_view text, char separator, TextArena& arena)
      : rest_(text), separator_(separator), arena_(arena), more_(!text.empty()) {}

  bool Next(std::string_view* value) {
    if (!more_) return false;
    if (rest_.starts_with('"') && TakeQuoted(value)) return true;
    const size_t end = rest_.find(separator_);
    *value = rest_.substr(0, end);
    Skip(end);
    return true;
  }

 private:
  void Skip(size_t end) {
    more_ = end < rest_.size();
    rest_.remove_prefix(more_ ? end + 1 : rest_.size());
  }

  // False where the quote is not closed before a separator or the end.
  bool TakeQuoted(std::string_view* value) {
    size_t end = 1;
    bool doubled = false;
    for (;;) {
      end = rest_.find('"', end);
      if (end == rest_.npos) return false;
      if (end + 1 >= rest_.size() || rest_[end + 1] != '"') break;
      doubled = true;
      end += 2;
    }
    const std::string_view inner = rest_.substr(1, end - 1);
    const size_t next = rest_.find(separator_, end);
    if (next != end + 1 && end + 1 != rest_.size()) return false;
    *value = doubled ? Undouble(inner) : inner;
    Skip(end + 1);
    return true;
  }

  std::string_view Undouble(std::string_view text) {
    char* const start = arena_.Reserve(text.size());
    char* out = start;
    for (size_t i = 0; i < text.size(); ++i) {
      *out++ = text[i];
      if (text[i] == '"') ++i;
    }
    const auto used = static_cast<size_t>(out - start);
    arena_.Shrink(text.size(), used);
    return {start, used};
  }

  std::string_view rest_;
  const char separator_;
  TextArena& arena_;
  bool more_;
};

}  // namespace

bool GrokStep::Run(StepContext& context) const {
  const std::string_view text = context.Text(from_);
  if (context.parsed->event.fields.size() >= kMaxFields) return true;
  const bool matched =
      std::any_of(expressions_.begin(), expressions_.end(), [&](const Grok& expression) {
        return expression.Match(text, [&context](event::FieldView field) { context.Add(field); });
      });
  return matched || !required_;
}

bool KeyValueStep::Run(StepContext& context) const {
  auto& fields = context.parsed->event.fields;
  const size_t before = fields.size();
  ReadKeyValues(context.Text(from_), format_, context.arena, &fields);
  if (prefix_.empty()) return true;
  for (size_t i = before; i < fields.size(); ++i) {
    fields[i].name = context.arena.Join(prefix_, fields[i].name);
  }
  return true;
}

bool CsvStep::Run(StepContext& context) const {
  const auto& fields = context.parsed->event.fields;
  CsvReader reader(context.Text(from_), separator_, context.arena);
  std::string_view value;
  for (size_t i = 0; reader.Next(&value) && fields.size() < kMaxFields; ++i) {
    if (value.empty()) continue;
    if (i >= columns_.size()) {
      context.Add({context.arena.Copy(fmt::format("column_{}", i + 1)), value});
    } else if (columns_[i] != "_") {
      context.Add({columns_[i], value});
    }
  }
  return true;
}

SwitchStep::SwitchStep(std::string on, std::vector<Case> cases, Steps otherwise)
    : on_(std::move(on)), cases_(std::move(cases)), otherwise_(std::move(otherwise)) {
  for (const Case& known : cases_) {
    for (const std::string& value : known.values) by_value_.emplace(value, &known.steps);
  }
}

bool SwitchStep::Run(StepContext& context) const {
  const auto found = by_value_.find(context.Text(on_));
  return RunAll(found == by_value_.end() ? otherwise_ : *found->second, context);
}

absl::StatusOr<Template> Template::Parse(std::string_view text) {
  Template result;
  while (!text.empty()) {
    const size_t start = text.find("%{");
    if (start != 0) {
      result.pieces_.push_back({false, std::string(text.substr(0, start))});
      text.remove_prefix(std::min(start, text.size()));
      continue;
    }
    const size_t end = text.find('}');
    if (end == text.npos) return InvalidField("value", "%{ is not closed");
    result.pieces_.push_back({true, std::string(text.substr(2, end - 2))});
    text.remove_prefix(end + 1);
  }
  return result;
}

std::string_view Template::Expand(const StepContext& context) const {
  std::string_view all;
  for (const Piece& piece : pieces_) {
    const std::string_view text = piece.is_field ? context.Text(piece.text) : piece.text;
    all = all.empty() ? text : context.arena.Join(all, text);
  }
  return all;
}

std::string_view CoreStep::Text(const StepContext& context) const {
  if (rule_.value) return rule_.value->Expand(context);
  std::string_view all;
  for (const std::string& name : rule_.from) {
    const std::string_view text = context.Text(name);
    if (SaysNothing(text)) continue;
    if (!rule_.join) return text;
    all = all.empty() ? text : context.arena.Join(all, " ", text);
  }
  return all;
}

bool CoreStep::Run(StepContext& context) const {
  std::string_view text = Text(context);
  // A value that is empty on purpose takes away what stands there.
  if (text.empty() && !(rule_.value && rule_.value->empty())) return true;
  if (!rule_.values.empty()) {
    auto found = rule_.values.find(context.arena.Lower(text));
    if (found == rule_.values.end()) found = rule_.values.find("*");
    if (found != rule_.values.end()) text = found->second;
  }
  if (rule_.set != nullptr) {
    rule_.set(text, context.arena, context.parsed);
    return true;
  }
  if (rule_.clock) {
    if (const auto duration = ReadClock(text)) context.parsed->event.duration = *duration;
    return true;
  }
  if (rule_.unit.count() > 0) {
    const auto number = ParseNumber<double>(text);
    constexpr double kMostNanoseconds = 9e18;
    if (!number || !std::isfinite(*number)) return true;
    const double nanoseconds = *number * static_cast<double>(rule_.unit.count());
    if (nanoseconds >= 0 && nanoseconds < kMostNanoseconds) {
      context.parsed->event.duration = std::chrono::nanoseconds(static_cast<int64_t>(nanoseconds));
    }
    return true;
  }
  for (const TimeFormat& format : rule_.formats) {
    bool zone_used = false;
    const auto time = format.Read(text, context.input.receive_time, context.input.zone, &zone_used);
    if (!time) continue;
    context.parsed->event.event_time = *time;
    context.parsed->zone_used = zone_used;
    break;
  }
  return true;
}

}  // namespace yagura::ingestion
