#include "services/ingestion/domain/parsers/registry.h"

#include <algorithm>

#include "services/ingestion/domain/described/catalogue.h"
#include "services/ingestion/domain/parsers/names.h"

namespace yagura::ingestion {

ParserRegistry::ParserRegistry(const ParserCatalogue* catalogue) : catalogue_(catalogue) {
  parsers_.push_back(MakeFortigateParser());
  parsers_.push_back(MakeWindowsXmlParser());
  parsers_.push_back(MakeSnareParser());
  parsers_.push_back(MakeZeekTableParser());
  first_described_ = parsers_.size();
  if (catalogue != nullptr) {
    for (const auto& description : catalogue->descriptions()) {
      parsers_.push_back(MakeDescribedParser(description));
    }
  }
  first_generic_ = parsers_.size();
  parsers_.push_back(MakeJsonLinesParser());
  parsers_.push_back(MakeSyslogTextParser());
}

Parser* ParserRegistry::Find(std::string_view name) const {
  for (const auto& parser : parsers_) {
    if (parser->name() == name) return parser.get();
  }
  return nullptr;
}

Parser* ParserRegistry::Recognise(const LineInput& input, Parser* likely) {
  // The generic parser, asked last, recognises too much to be asked first.
  if (likely != nullptr && likely != parsers_.back().get() && likely->Recognises(input)) {
    return likely;
  }
  const auto first_of = [&](size_t from, size_t to) -> Parser* {
    for (size_t i = from; i < to; ++i) {
      if (parsers_[i]->Recognises(input)) return parsers_[i].get();
    }
    return nullptr;
  };
  if (Parser* written = first_of(0, first_described_)) return written;
  if (catalogue_ != nullptr) {
    const size_t found = catalogue_->recognisers().Find(input, scratch_);
    if (found < catalogue_->descriptions().size()) return parsers_[first_described_ + found].get();
  }
  return first_of(first_generic_, parsers_.size());
}

bool ParserRegistry::IsKnownSetting(std::string_view name, const ParserCatalogue* catalogue) {
  // Asked for every batch that is pushed: without making the parsers.
  if (name.empty() || name == "auto") return true;
  if (std::any_of(kWrittenParsers.begin(), kWrittenParsers.end(),
                  [name](const WrittenParser& written) { return written.name == name; })) {
    return true;
  }
  if (catalogue == nullptr) return false;
  const auto& described = catalogue->descriptions();
  return std::any_of(described.begin(), described.end(),
                     [name](const auto& description) { return description->name == name; });
}

}  // namespace yagura::ingestion
