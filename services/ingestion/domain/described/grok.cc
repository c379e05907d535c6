#include "services/ingestion/domain/described/grok.h"

#include <re2/re2.h>

#include <algorithm>
#include <array>

#include "fmt/format.h"

#include "common/status/status.h"

namespace yagura::ingestion {
namespace {

constexpr int kMaxDepth = 16;
constexpr size_t kMaxGroups = 128;
constexpr size_t kMaxExpanded = 256 * 1024;
constexpr int64_t kMaxProgramBytes = 16 << 20;

bool IsNameChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-' || c == '.' || c == '@' || c == '[' || c == ']';
}

bool IsName(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), IsNameChar);
}

// "[source][ip]" is the field "source.ip".
std::string FieldName(std::string_view text) {
  std::string name;
  for (const char c : text) {
    if (c == '[') {
      if (!name.empty()) name += '.';
    } else if (c != ']') {
      name += c;
    }
  }
  return name;
}

// RE2 wants group names of word characters, each once: they are numbered.
std::string GroupFor(std::string_view field, std::vector<std::string>* fields) {
  fields->push_back(FieldName(field));
  return fmt::format("(?P<f{}>", fields->size() - 1);
}

}  // namespace

absl::Status GrokPatterns::AddFile(std::string_view text) {
  size_t number = 0;
  for (std::string_view line : Split(text, '\n')) {
    ++number;
    line = Trim(line);
    if (line.empty() || line.front() == '#') continue;
    const size_t space = line.find(' ');
    if (space == line.npos || !IsName(line.substr(0, space))) {
      return InvalidField("patterns", fmt::format("line {} is not \"NAME pattern\"", number));
    }
    Add(line.substr(0, space), Trim(line.substr(space)));
  }
  return absl::OkStatus();
}

void GrokPatterns::Add(std::string_view name, std::string_view pattern) {
  patterns_.insert_or_assign(std::string(name), std::string(pattern));
}

absl::StatusOr<std::string> GrokPatterns::Expand(std::string_view expression,
                                                 std::vector<std::string>* fields) const {
  std::string out;
  YAGURA_RETURN_IF_ERROR(ExpandInto(expression, 0, fields, &out));
  return out;
}

absl::Status GrokPatterns::ExpandInto(std::string_view expression, int depth,
                                      std::vector<std::string>* fields, std::string* out) const {
  if (depth > kMaxDepth) return InvalidField("grok", "patterns refer to each other too deeply");
  while (!expression.empty()) {
    if (out->size() > kMaxExpanded) return InvalidField("grok", "the expression is too large");
    if (expression.front() == '\\' && expression.size() > 1) {
      out->append(expression.substr(0, 2));
      expression.remove_prefix(2);
    } else if (expression.starts_with("%{")) {
      const size_t end = expression.find('}');
      if (end == expression.npos) return InvalidField("grok", "%{ is not closed");
      const auto parts = Split(expression.substr(2, end - 2), ':');
      const auto found = patterns_.find(parts[0]);
      if (found == patterns_.end()) {
        return InvalidField("grok", fmt::format("there is no pattern {}", parts[0]));
      }
      if (parts.size() > 3 || (parts.size() > 1 && !IsName(parts[1]))) {
        return InvalidField(
            "grok", fmt::format("{} is not %{{NAME:field}}", expression.substr(0, end + 1)));
      }
      out->append(parts.size() > 1 ? GroupFor(parts[1], fields) : "(?:");
      YAGURA_RETURN_IF_ERROR(ExpandInto(found->second, depth + 1, fields, out));
      out->push_back(')');
      expression.remove_prefix(end + 1);
    } else if (expression.starts_with("(?<") || expression.starts_with("(?P<")) {
      const size_t start = expression.find('<') + 1;
      const size_t end = expression.find('>');
      if (end == expression.npos || !IsName(expression.substr(start, end - start))) {
        return InvalidField("grok", "look-behind and unnamed groups of (?<...> are not supported");
      }
      out->append(GroupFor(expression.substr(start, end - start), fields));
      expression.remove_prefix(end + 1);
    } else if (expression.starts_with("(?>")) {  // RE2 never backtracks: the same as a plain group
      out->append("(?:");
      expression.remove_prefix(3);
    } else {
      out->push_back(expression.front());
      expression.remove_prefix(1);
    }
  }
  return absl::OkStatus();
}

Grok::Grok() = default;
Grok::Grok(Grok&&) noexcept = default;
Grok& Grok::operator=(Grok&&) noexcept = default;
Grok::~Grok() = default;

absl::StatusOr<Grok> Grok::Compile(std::string_view expression, const GrokPatterns& patterns) {
  std::vector<std::string> fields;
  YAGURA_ASSIGN_OR_RETURN(const std::string expanded, patterns.Expand(expression, &fields));
  RE2::Options options;
  options.set_encoding(RE2::Options::EncodingLatin1);  // lines need not be UTF-8
  options.set_log_errors(false);
  options.set_dot_nl(true);
  options.set_max_mem(kMaxProgramBytes);
  Grok grok;
  grok.regex_ = std::make_unique<RE2>(expanded, options);
  if (!grok.regex_->ok()) {
    return InvalidField("grok", fmt::format("{} in {}", grok.regex_->error(), expression));
  }
  const auto groups = static_cast<size_t>(grok.regex_->NumberOfCapturingGroups());
  if (groups > kMaxGroups) {
    return InvalidField("grok", fmt::format("more than {} groups in {}", kMaxGroups, expression));
  }
  grok.names_.resize(groups + 1);
  for (const auto& [number, name] : grok.regex_->CapturingGroupNames()) {
    const auto field = ParseNumber<size_t>(std::string_view(name).substr(1));
    grok.names_[static_cast<size_t>(number)] = fields.at(field.value());
  }
  return grok;
}

bool Grok::Match(std::string_view text, absl::FunctionRef<void(event::FieldView)> sink) const {
  std::array<re2::StringPiece, kMaxGroups + 1> groups;
  const re2::StringPiece piece(text.data(), text.size());
  if (!regex_->Match(piece, 0, text.size(), RE2::UNANCHORED, groups.data(),
                     static_cast<int>(names_.size()))) {
    return false;
  }
  for (size_t i = 1; i < names_.size(); ++i) {
    if (names_[i].empty() || groups[i].data() == nullptr) continue;
    sink({names_[i], {groups[i].data(), groups[i].size()}});
  }
  return true;
}

}  // namespace yagura::ingestion
