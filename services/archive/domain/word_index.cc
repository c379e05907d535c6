#include "services/archive/domain/word_index.h"

#include <vector>

#include "fmt/format.h"

#include "common/text/text.h"

namespace yagura::archive {
namespace {

std::string Define(std::string_view begin, std::string_view name, std::string_view expression,
                   std::string_view type) {
  return fmt::format("{} {} {} TYPE {} GRANULARITY 1", begin, name, expression, type);
}

std::string AddressIndex(std::string_view column) { return fmt::format("{}_filter", column); }

}  // namespace

std::string WordIndexNames() {
  return fmt::format("{},{},{}", kRawIndexes[0].name, kRawIndexes[1].name, kFoldedIndex.name);
}

std::string SkipIndexes(std::string_view begin) {
  std::vector<std::string> all;
  for (const std::string_view column : kIndexedAddresses) {
    all.push_back(Define(begin, AddressIndex(column), column, "bloom_filter(0.01)"));
  }
  for (const WordIndex& index : {kRawIndexes[0], kRawIndexes[1], kFoldedIndex}) {
    all.push_back(Define(begin, index.name, index.expression, index.type));
  }
  return Join(all, ", ");
}

std::string MakeSkipIndexes(std::string_view partition) {
  std::vector<std::string> all;
  const auto make = [&all, partition](std::string_view name) {
    all.push_back(fmt::format("MATERIALIZE INDEX {} IN PARTITION ID '{}'", name, partition));
  };
  for (const std::string_view column : kIndexedAddresses) make(AddressIndex(column));
  for (const WordIndex& index : {kRawIndexes[0], kRawIndexes[1], kFoldedIndex}) make(index.name);
  return Join(all, ", ");
}

}  // namespace yagura::archive
