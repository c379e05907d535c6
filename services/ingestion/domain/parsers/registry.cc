#include "services/ingestion/domain/parsers/registry.h"

namespace yagura::ingestion {

ParserRegistry::ParserRegistry() {
  parsers_.push_back(MakeFortigateParser());
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

bool ParserRegistry::IsKnownSetting(std::string_view name) {
  return name.empty() || name == "auto" || ParserRegistry().Find(name) != nullptr;
}

}  // namespace yagura::ingestion
