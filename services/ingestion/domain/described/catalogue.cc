#include "services/ingestion/domain/described/catalogue.h"

#include <algorithm>
#include <fstream>
#include <iterator>

#include "fmt/format.h"

#include "common/status/status.h"
#include "services/ingestion/domain/described/grok.h"

namespace yagura::ingestion {
namespace {

namespace fs = std::filesystem;

// In the order of their names.
absl::StatusOr<std::vector<fs::path>> FilesOf(const fs::path& folder, std::string_view extension) {
  std::vector<fs::path> files;
  std::error_code error;
  fs::directory_iterator entry(folder, error);
  for (const fs::directory_iterator end; !error && entry != end; entry.increment(error)) {
    if (entry->path().extension() == extension) files.push_back(entry->path());
  }
  if (error) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "FOLDER_UNREADABLE",
                     fmt::format("{}: {}", folder.string(), error.message()));
  }
  std::sort(files.begin(), files.end());
  return files;
}

absl::StatusOr<std::string> Read(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  if (in.bad() || !in.is_open()) return NotFound(file.string());
  return text;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const ParserCatalogue>> ParserCatalogue::Load(
    const fs::path& folder) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) return NotFound(folder.string());
  YAGURA_ASSIGN_OR_RETURN(const auto pattern_files, FilesOf(folder, ".grok"));
  YAGURA_ASSIGN_OR_RETURN(const auto description_files, FilesOf(folder, ".yaml"));
  GrokPatterns patterns;
  for (const fs::path& file : pattern_files) {
    YAGURA_ASSIGN_OR_RETURN(const std::string text, Read(file));
    if (auto status = patterns.AddFile(text); !status.ok()) {
      return Annotate(status, file.filename().string());
    }
  }
  auto catalogue = std::make_shared<ParserCatalogue>();
  auto& all = catalogue->descriptions_;
  for (const fs::path& file : description_files) {
    YAGURA_ASSIGN_OR_RETURN(const std::string text, Read(file));
    auto description = Description::Parse(text, patterns);
    if (!description.ok()) return Annotate(description.status(), file.filename().string());
    for (const auto& other : all) {
      if (other->name == (*description)->name) {
        return Annotate(InvalidField("name", "another description has this name"),
                        file.filename().string());
      }
    }
    all.push_back(*std::move(description));
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const auto& a, const auto& b) { return a->priority > b->priority; });
  YAGURA_ASSIGN_OR_RETURN(catalogue->recognisers_, RecogniserIndex::Build(all));
  return catalogue;
}

}  // namespace yagura::ingestion
