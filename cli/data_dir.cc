#include "cli/data_dir.h"

#include <fstream>

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/text/text.h"
#include "simdjson.h"

namespace yagura::cli {

absl::StatusOr<std::map<std::string, std::string>> ReadEndpoints(
    const std::filesystem::path& data_dir) {
  const auto file = EndpointsFile(data_dir);
  std::error_code error;
  const bool there = std::filesystem::exists(file, error);
  if (error) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "FILE_UNREADABLE",
                     fmt::format("cannot read {}: {}", file.string(), error.message()));
  }
  if (!there) {
    return MakeError(
        absl::StatusCode::kFailedPrecondition, "NOT_RUNNING",
        fmt::format("{} does not exist: is `yagura up` running there?", file.string()));
  }
  simdjson::dom::parser parser;
  simdjson::dom::object object;
  if (parser.load(file.string()).get(object) != simdjson::SUCCESS) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "BAD_ENDPOINTS_FILE",
                     fmt::format("{} is not a JSON object", file.string()));
  }
  std::map<std::string, std::string> endpoints;
  for (const auto& [key, value] : object) {
    std::string_view text;
    if (value.get(text) == simdjson::SUCCESS) endpoints.emplace(key, text);
  }
  return endpoints;
}

absl::Status WriteEndpoints(const std::filesystem::path& data_dir,
                            const std::map<std::string, std::string>& endpoints) {
  const auto file = EndpointsFile(data_dir);
  auto fresh = file;
  fresh += ".new";
  {
    std::ofstream out(fresh);
    std::string separator = "{\n";
    for (const auto& [key, value] : endpoints) {
      out << separator << "  " << QuoteJson(key) << ": " << QuoteJson(value);
      separator = ",\n";
    }
    out << "\n}\n";
    if (!out.flush()) return Internal(fmt::format("cannot write {}", fresh.string()));
  }
  std::error_code error;
  std::filesystem::rename(fresh, file, error);
  if (error) return Internal(fmt::format("cannot write {}: {}", file.string(), error.message()));
  return absl::OkStatus();
}

}  // namespace yagura::cli
