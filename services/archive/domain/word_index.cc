#include "services/archive/domain/word_index.h"

#include "fmt/format.h"

namespace yagura::archive {

std::string WordIndexNames() {
  std::string names;
  for (const WordIndex& index : kRawIndexes) names += fmt::format("{},", index.name);
  return names + std::string(kFoldedIndex.name);
}

}  // namespace yagura::archive
