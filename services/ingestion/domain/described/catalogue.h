#pragma once

#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "services/ingestion/domain/described/description.h"
#include "services/ingestion/domain/described/recogniser_index.h"

namespace yagura::ingestion {

// The descriptions of a folder, those asked first in front. Immutable, shared by all threads.
class ParserCatalogue {
 public:
  // Every "*.yaml" of the folder, with the Grok patterns of every "*.grok". INVALID_ARGUMENT names
  // the file and line of the first mistake, NOT_FOUND the folder: a parser that is silently missing
  // would cost fields.
  static absl::StatusOr<std::shared_ptr<const ParserCatalogue>> Load(
      const std::filesystem::path& folder);

  const std::vector<std::shared_ptr<const Description>>& descriptions() const {
    return descriptions_;
  }
  const RecogniserIndex& recognisers() const { return *recognisers_; }

 private:
  std::vector<std::shared_ptr<const Description>> descriptions_;
  std::unique_ptr<const RecogniserIndex> recognisers_;
};

}  // namespace yagura::ingestion
