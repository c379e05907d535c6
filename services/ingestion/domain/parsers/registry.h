#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "services/ingestion/domain/described/recogniser_index.h"
#include "services/ingestion/domain/parsers/parser.h"

namespace yagura::ingestion {

class ParserCatalogue;

// The parsers in the order in which they are asked: the most particular first, generic ones last.
class ParserRegistry {
 public:
  // The written parsers and the described ones of `catalogue` (may be null: none).
  explicit ParserRegistry(const ParserCatalogue* catalogue);

  // By the name of a source's setting; nullptr where there is none.
  Parser* Find(std::string_view name) const;
  // The first that recognises the line; nullptr where none does. `likely` (may be null) is asked
  // first: most senders speak one format.
  Parser* Recognise(const LineInput& input, Parser* likely);
  // Whether a setting may name it: a parser, "auto" or nothing.
  static bool IsKnownSetting(std::string_view name, const ParserCatalogue* catalogue);

 private:
  const ParserCatalogue* const catalogue_;
  RecogniserIndex::Scratch scratch_;
  // Written ones that are asked before the described ones, the described ones, the generic ones.
  std::vector<std::unique_ptr<Parser>> parsers_;
  size_t first_described_ = 0;
  size_t first_generic_ = 0;
};

}  // namespace yagura::ingestion
