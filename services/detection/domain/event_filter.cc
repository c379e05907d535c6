#include "services/detection/domain/event_filter.h"

#include <algorithm>

#include "fmt/format.h"

#include "common/event/alias.h"
#include "common/text/text.h"
#include "services/detection/domain/engine/pattern.h"

namespace yagura::detection {
namespace {

// Longer ones are not worth it: archive takes 8 KiB.
constexpr size_t kMaxFilter = 3 * 1024;

std::string Escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '"' || c == '\'' || c == '*') out += '\\';
    out += c;
  }
  return out;
}

bool CanBeWritten(std::string_view text) {
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20; };
  return IsValidUtf8(text) && std::ranges::none_of(text, is_control);
}

// What a text must look like, for `=~`; empty where that cannot be told.
std::string PatternOf(const Matcher& matcher) {
  const std::string text = Escaped(matcher.text());
  switch (matcher.kind()) {
    case Matcher::Kind::kEquals:
      return text.empty() ? std::string() : text;
    case Matcher::Kind::kStartsWith:
      return text + "*";
    case Matcher::Kind::kEndsWith:
      return "*" + text;
    case Matcher::Kind::kContains:
      return text.empty() ? "*" : "*" + text + "*";
    case Matcher::Kind::kGlob: {
      std::string pattern;
      for (const uint16_t element : matcher.pattern()) {
        // One character may be several bytes.
        pattern += element > 255 ? "*" : Escaped(std::string(1, static_cast<char>(element)));
      }
      return pattern;
    }
    default:
      return {};
  }
}

// The paths in which archive has the field's values.
std::vector<std::string> PathsOf(const std::string& field) {
  if (field.starts_with('@')) {
    const auto core = event::CoreByName(field.substr(1));
    if (core && event::KindOf(*core) == event::ColumnKind::kText) return {field.substr(1)};
    return {};
  }
  const auto resolved = event::ResolveSigmaName(field);
  std::vector<std::string> paths = {fmt::format("fields.\"{}\"", Escaped(resolved.original))};
  if (!resolved.core) return paths;
  if (event::KindOf(*resolved.core) != event::ColumnKind::kText) return {};
  paths.emplace_back(event::CoreName(*resolved.core));
  return paths;
}

std::string Test(const Expression& expression) {
  if (!CanBeWritten(expression.field)) return {};
  const std::vector<std::string> paths = PathsOf(expression.field);
  std::string value = "\"*\"";
  if (expression.type == Expression::Type::kMatch) {
    const std::string pattern = PatternOf(expression.matcher);
    if (pattern.empty() || !CanBeWritten(pattern)) return {};
    value = fmt::format("\"{}\"", pattern);
  }
  std::vector<std::string> any;
  for (const std::string& path : paths) {
    any.push_back(expression.type == Expression::Type::kExists
                      ? path + ":*"
                      : fmt::format("{} =~ {}", path, value));
  }
  return any.size() > 1 ? "(" + Join(any, " OR ") + ")" : Join(any, " OR ");
}

}  // namespace

std::string QuoteFilterText(std::string_view text) { return "\"" + Escaped(text) + "\""; }

std::string FilterOf(const Expression& expression) {
  std::vector<std::string> parts;
  switch (expression.type) {
    case Expression::Type::kMatch:
    case Expression::Type::kExists:
      return Test(expression);
    case Expression::Type::kAnd:
      for (const auto& child : expression.children) parts.push_back(FilterOf(child));
      return JoinFilters(parts);
    case Expression::Type::kOr:
      for (const auto& child : expression.children) {
        parts.push_back(FilterOf(child));
        if (parts.back().empty()) return {};
      }
      if (parts.size() < 2) return Join(parts, "");
      return "(" + Join(parts, " OR ") + ")";
    default:
      return {};
  }
}

std::string LogsourceFilter(const std::vector<SingleRule>& rules) {
  std::vector<std::string> any;
  for (const auto& rule : rules) {
    std::string one = FilterOf(rule.logsource_test);
    if (one.empty()) return {};
    if (std::ranges::find(any, one) == any.end()) any.push_back(std::move(one));
  }
  if (any.empty()) return {};
  std::string all = any.size() == 1 ? any.front() : "(" + Join(any, " OR ") + ")";
  return all.size() > kMaxFilter ? std::string() : all;
}

std::string JoinFilters(const std::vector<std::string>& filters) {
  std::vector<std::string> parts;
  for (const auto& filter : filters) {
    if (!filter.empty()) parts.push_back(filter);
  }
  if (parts.size() < 2) return Join(parts, "");
  return "((" + Join(parts, ") AND (") + "))";
}

}  // namespace yagura::detection
