#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"

#include "common/event/event_view.h"
#include "common/text/text.h"

namespace re2 {
class RE2;
}

namespace yagura::ingestion {

// Named patterns as Logstash, Vector and others know them. Source of the language:
// https://www.elastic.co/guide/en/logstash/current/plugins-filters-grok.html
class GrokPatterns {
 public:
  // A file of lines "NAME pattern"; empty lines and lines that begin with '#' say nothing. A later
  // pattern replaces an earlier one of its name.
  absl::Status AddFile(std::string_view text);
  void Add(std::string_view name, std::string_view pattern);

  // `expression` with every %{NAME}, %{NAME:field} and %{NAME:field:type} replaced; `fields` gets
  // the name of each group that catches one ("[a][b]" is "a.b"). INVALID_ARGUMENT names what is
  // unknown, too deep (16 levels) or not in the language (look-around).
  absl::StatusOr<std::string> Expand(std::string_view expression,
                                     std::vector<std::string>* fields) const;

 private:
  absl::Status ExpandInto(std::string_view expression, int depth, std::vector<std::string>* fields,
                          std::string* out) const;

  StringMap<std::string> patterns_;
};

// One compiled expression; matches bytes, in linear time. Immutable and thread-safe.
class Grok {
 public:
  static absl::StatusOr<Grok> Compile(std::string_view expression, const GrokPatterns& patterns);
  Grok(Grok&&) noexcept;
  Grok& operator=(Grok&&) noexcept;
  ~Grok();

  // Finds the expression anywhere in `text` (anchor it with ^ and $) and hands out what its named
  // groups caught, in the order of the expression; groups that took no part are left out. The
  // names live as long as this object, the values as long as `text`.
  bool Match(std::string_view text, absl::FunctionRef<void(event::FieldView)> sink) const;

 private:
  Grok();
  std::unique_ptr<re2::RE2> regex_;
  std::vector<std::string> names_;  // by group number; empty: not named
};

}  // namespace yagura::ingestion
