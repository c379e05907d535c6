#include "services/ingestion/domain/parsers/registry.h"

#include <algorithm>
#include <array>

#include "services/ingestion/domain/described/catalogue.h"

namespace yagura::ingestion {

ParserRegistry::ParserRegistry(const ParserCatalogue* catalogue) {
  parsers_.push_back(MakeFortigateParser());
  if (catalogue != nullptr) {
    for (const auto& description : catalogue->descriptions()) {
      parsers_.push_back(MakeDescribedParser(description));
    }
  }
  parsers_.push_back(MakeJsonLinesParser());
  parsers_.push_back(MakeSyslogTextParser());
}

Parser* ParserRegistry::Find(std::string_view name) const {
  for (const auto& parser : parsers_) {
    if (parser->name() == name) return parser.get();
  }
  return nullptr;
}

Parser* ParserRegistry::Recognise(const LineInput& input, Parser* likely) const {
  // The generic parser, asked last, recognises too much to be asked first.
  if (likely != nullptr && likely != parsers_.back().get() && likely->Recognises(input)) {
    return likely;
  }
  for (const auto& parser : parsers_) {
    if (parser->Recognises(input)) return parser.get();
  }
  return nullptr;
}

bool ParserRegistry::IsKnownSetting(std::string_view name, const ParserCatalogue* catalogue) {
  // Asked for every batch that is pushed: without making the parsers.
  constexpr std::array<std::string_view, 5> kAlways{"", "auto", "fortigate", "json", "syslog"};
  if (std::find(kAlways.begin(), kAlways.end(), name) != kAlways.end()) return true;
  if (catalogue == nullptr) return false;
  const auto& described = catalogue->descriptions();
  return std::any_of(described.begin(), described.end(),
                     [name](const auto& description) { return description->name == name; });
}

}  // namespace yagura::ingestion
