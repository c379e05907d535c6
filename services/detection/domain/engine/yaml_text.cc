#include "services/detection/domain/engine/yaml_text.h"

#include "fmt/format.h"
#include "yaml-cpp/yaml.h"

#include "services/detection/domain/engine/selection.h"

namespace yagura::detection {

absl::StatusOr<std::string> OptionalText(const YAML::Node& map, const char* key, size_t limit) {
  const YAML::Node node = map[key];
  if (!node.IsDefined() || node.IsNull()) return std::string();
  if (!node.IsScalar()) return RefuseAt(node, fmt::format("{} is not text", key));
  if (node.Scalar().size() > limit) {
    return RefuseAt(node, fmt::format("{} is longer than {} bytes", key, limit));
  }
  return node.Scalar();
}

absl::StatusOr<std::vector<std::string>> OptionalTexts(const YAML::Node& map, const char* key,
                                                       size_t limit) {
  std::vector<std::string> texts;
  const YAML::Node node = map[key];
  if (!node.IsDefined() || node.IsNull()) return texts;
  if (node.IsScalar()) return std::vector<std::string>{node.Scalar()};
  if (!node.IsSequence()) return RefuseAt(node, fmt::format("{} is not a list", key));
  for (const auto& item : node) {
    if (item.IsNull()) continue;
    if (!item.IsScalar()) return RefuseAt(item, fmt::format("{}: an entry is not text", key));
    if (texts.size() == limit) return RefuseAt(item, fmt::format("{} has too many entries", key));
    texts.push_back(item.Scalar().substr(0, 1024));
  }
  return texts;
}

}  // namespace yagura::detection
