#include "cli/detect/placeholder_file.h"

#include <fstream>

#include "fmt/format.h"
#include "yaml-cpp/yaml.h"

#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::cli {
namespace {

constexpr size_t kMaxFile = 4 << 20;

absl::Status Refuse(const YAML::Mark& mark, std::string_view reason) {
  const std::string place = mark.is_null() ? "" : fmt::format("line {}: ", mark.line + 1);
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_PLACEHOLDERS",
                   fmt::format("{}{}", place, reason));
}

absl::StatusOr<std::string> ReadValue(const YAML::Node& node) {
  if (!node.IsScalar()) return Refuse(node.Mark(), "a value is neither text nor number");
  if (node.Scalar().empty()) return Refuse(node.Mark(), "a value is empty");
  return node.Scalar();
}

absl::StatusOr<detection::Placeholders> Read(const YAML::Node& document) {
  if (!document.IsMap()) return Refuse(document.Mark(), "not a map of names to values");
  detection::Placeholders placeholders;
  for (const auto& entry : document) {
    YAGURA_ASSIGN_OR_RETURN(const std::string name, ReadValue(entry.first));
    std::string_view bare = name;
    if (bare.size() > 2 && bare.front() == '%' && bare.back() == '%') {
      bare = bare.substr(1, bare.size() - 2);
    }
    auto& values = placeholders[detection::PlaceholderId(bare)];
    if (!values.empty()) {
      return Refuse(entry.first.Mark(), fmt::format("\"{}\" stands twice", bare));
    }
    if (!entry.second.IsSequence()) {
      YAGURA_ASSIGN_OR_RETURN(values.emplace_back(), ReadValue(entry.second));
      continue;
    }
    for (const auto& item : entry.second) {
      YAGURA_ASSIGN_OR_RETURN(values.emplace_back(), ReadValue(item));
    }
    if (values.empty()) return Refuse(entry.second.Mark(), "a list without values");
  }
  return placeholders;
}

}  // namespace

absl::StatusOr<detection::Placeholders> ReadPlaceholders(const std::string& file) {
  std::string text(kMaxFile + 1, '\0');
  std::ifstream in(file, std::ios::binary);
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!in.is_open() || in.bad()) {
    return MakeError(absl::StatusCode::kNotFound, "FILE_UNREADABLE",
                     fmt::format("cannot read {}", file));
  }
  text.resize(static_cast<size_t>(in.gcount()));
  absl::StatusOr<detection::Placeholders> placeholders;
  try {
    placeholders = text.size() > kMaxFile || !IsValidUtf8(text)
                       ? Refuse(YAML::Mark::null_mark(), "not a UTF-8 text of at most 4 MiB")
                       : Read(YAML::Load(text));
  } catch (const YAML::Exception& error) {
    placeholders = Refuse(error.mark, fmt::format("not YAML: {}", error.msg));
  }
  if (!placeholders.ok()) return Annotate(placeholders.status(), file);
  return placeholders;
}

}  // namespace yagura::cli
