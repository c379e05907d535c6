#include "common/config/settings_reader.h"

#include <cmath>
#include <fstream>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <sstream>

#include "fmt/format.h"
#include "yaml-cpp/yaml.h"

#include "common/config/units.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::config {
namespace {

constexpr size_t kMaxFileBytes = 4 << 20;
constexpr size_t kMaxSecretBytes = 64 << 10;

absl::Status SettingsError(std::string_view message) {
  return MakeError(absl::StatusCode::kInvalidArgument, "SETTINGS_INVALID", message);
}

std::optional<std::string> ReadFile(const std::filesystem::path& file, size_t limit) {
  std::ifstream in(file, std::ios::binary);
  if (!in) return std::nullopt;
  std::string text(limit + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in.gcount()));
  if (text.size() > limit) return std::nullopt;
  return text;
}

// Quotes where plain text would be read as something else.
std::string YamlText(std::string_view text) { return QuoteJson(text); }

}  // namespace

// What all readers of one document share.
struct SettingsReader::State {
  void Add(const YAML::Mark& mark, std::string message) {
    if (mark.is_null()) {
      errors.emplace(0, std::move(message));
    } else {
      errors.emplace(mark.line + 1, fmt::format("line {}: {}", mark.line + 1, message));
    }
  }
  std::multimap<int, std::string> errors;  // by line
};

// One map of the document, with what has been asked of it so far.
struct SettingsReader::Node {
  struct Entry {
    std::string key;
    std::string value;  // the default, as YAML; empty for a section
    std::string help;
    std::string bounds;
    std::shared_ptr<Node> section;
  };

  std::string PathOf(std::string_view key) const {
    return path.empty() ? std::string(key) : fmt::format("{}.{}", path, key);
  }
  YAML::Node Find(std::string_view key) const {
    if (!yaml.IsMap()) return YAML::Node(YAML::NodeType::Undefined);
    return yaml[std::string(key)];
  }
  // The text of a scalar; nothing where the key is absent or (told to `state`) no scalar.
  std::optional<std::string> Scalar(State& state, std::string_view key) const {
    const YAML::Node value = Find(key);
    if (!value.IsDefined()) return std::nullopt;
    if (!value.IsScalar()) {
      state.Add(value.Mark(), fmt::format("{}: a single value is expected", PathOf(key)));
      return std::nullopt;
    }
    return value.Scalar();
  }
  void Declare(std::string_view key, std::string value, std::string_view help,
               std::string bounds = "", std::shared_ptr<Node> section = nullptr) {
    known.insert(std::string(key));
    entries.push_back({std::string(key), std::move(value), std::string(help), std::move(bounds),
                       std::move(section)});
  }
  void FindUnknown(State& state) const {
    std::set<std::string> seen;
    if (yaml.IsMap()) {
      for (const auto& item : yaml) {
        if (!item.first.IsScalar()) {
          state.Add(item.first.Mark(), "a key must be plain text");
          continue;
        }
        const std::string key = item.first.Scalar();
        if (!known.contains(key)) {
          state.Add(item.first.Mark(), fmt::format("{}: unknown key", PathOf(key)));
        }
        if (!seen.insert(key).second) {
          state.Add(item.first.Mark(), fmt::format("{}: given twice", PathOf(key)));
        }
      }
    }
    for (const auto& child : children) child->FindUnknown(state);
  }
  void Document(std::string& out, size_t indent) const {
    const std::string margin(indent, ' ');
    for (const Entry& entry : entries) {
      if (indent == 0 && !out.empty()) out += '\n';
      out += fmt::format("{}# {}{}\n", margin, entry.help,
                         entry.bounds.empty() ? "" : fmt::format(" ({})", entry.bounds));
      if (entry.section == nullptr) {
        out += fmt::format("{}{}: {}\n", margin, entry.key, entry.value);
      } else {
        out += fmt::format("{}{}:\n", margin, entry.key);
        entry.section->Document(out, indent + 2);
      }
    }
  }

  YAML::Node yaml;
  std::string path;
  std::set<std::string> known;
  std::vector<Entry> entries;
  std::vector<std::shared_ptr<Node>> children;
};

SettingsReader::SettingsReader(std::shared_ptr<State> state, std::shared_ptr<Node> node)
    : state_(std::move(state)), node_(std::move(node)) {}

absl::StatusOr<SettingsReader> SettingsReader::FromYaml(std::string_view yaml) {
  auto node = std::make_shared<Node>();
  if (yaml.size() > kMaxFileBytes) return SettingsError("the settings are longer than 4 MiB");
  try {
    node->yaml.reset(YAML::Load(std::string(yaml)));
  } catch (const YAML::Exception& e) {
    return SettingsError(fmt::format("line {}: {}", e.mark.line + 1, e.msg));
  }
  if (node->yaml.IsNull()) node->yaml.reset(YAML::Node(YAML::NodeType::Map));
  if (!node->yaml.IsMap()) return SettingsError("the settings are not a map of keys to values");
  return SettingsReader(std::make_shared<State>(), std::move(node));
}

absl::StatusOr<SettingsReader> SettingsReader::FromFile(const std::filesystem::path& file) {
  const auto text = ReadFile(file, kMaxFileBytes);
  if (!text) {
    return SettingsError(fmt::format("cannot read {}, or it is longer than 4 MiB", file.string()));
  }
  auto reader = FromYaml(*text);
  if (!reader.ok()) return Annotate(reader.status(), file.string());
  return reader;
}

SettingsReader SettingsReader::Empty() {
  auto node = std::make_shared<Node>();
  node->yaml.reset(YAML::Node(YAML::NodeType::Map));
  return {std::make_shared<State>(), std::move(node)};
}

std::string SettingsReader::String(std::string_view key, std::string_view fallback,
                                   std::string_view help) {
  node_->Declare(key, YamlText(fallback), help);
  return node_->Scalar(*state_, key).value_or(std::string(fallback));
}

std::string SettingsReader::Secret(std::string_view key, std::string_view help) {
  const std::string file_key = fmt::format("{}_file", key);
  node_->Declare(file_key, "\"\"", fmt::format("{} Read from this file.", help));
  const auto file = node_->Scalar(*state_, file_key);
  if (!file || file->empty()) return "";
  const auto text = ReadFile(*file, kMaxSecretBytes);
  if (!text) {
    state_->Add(node_->Find(file_key).Mark(),
                fmt::format("{}: cannot read {}", node_->PathOf(file_key), *file));
    return "";
  }
  // Editors and secret stores end a file with a newline that is not part of the secret.
  std::string_view secret = *text;
  while (!secret.empty() && (secret.back() == '\n' || secret.back() == '\r')) {
    secret.remove_suffix(1);
  }
  return std::string(secret);
}

int64_t SettingsReader::Integer(std::string_view key, int64_t fallback, int64_t low, int64_t high,
                                std::string_view help) {
  const std::string bounds = fmt::format("{} to {}", low, high);
  node_->Declare(key, fmt::format("{}", fallback), help, bounds);
  const auto text = node_->Scalar(*state_, key);
  if (!text) return fallback;
  const auto value = ParseNumber<int64_t>(*text);
  if (value && *value >= low && *value <= high) return *value;
  state_->Add(node_->Find(key).Mark(),
              fmt::format("{}: {} is expected", node_->PathOf(key), bounds));
  return fallback;
}

void SettingsReader::Refuse(std::string_view key, std::string_view reason) {
  // A default may be refused, too: what is not in the file has no line but that of its section.
  const YAML::Node value = node_->Find(key);
  const YAML::Mark mark = value.IsDefined() ? value.Mark() : node_->yaml.Mark();
  state_->Add(mark, fmt::format("{}: {}", node_->PathOf(key), reason));
}

double SettingsReader::Number(std::string_view key, double fallback, double low, double high,
                              std::string_view help) {
  const std::string bounds = fmt::format("{} to {}", low, high);
  node_->Declare(key, fmt::format("{}", fallback), help, bounds);
  const auto text = node_->Scalar(*state_, key);
  if (!text) return fallback;
  const auto value = ParseNumber<double>(*text);
  if (value && std::isfinite(*value) && *value >= low && *value <= high) return *value;
  state_->Add(node_->Find(key).Mark(),
              fmt::format("{}: {} is expected", node_->PathOf(key), bounds));
  return fallback;
}

bool SettingsReader::Boolean(std::string_view key, bool fallback, std::string_view help) {
  node_->Declare(key, fallback ? "true" : "false", help);
  const auto text = node_->Scalar(*state_, key);
  if (!text) return fallback;
  if (*text == "true") return true;
  if (*text == "false") return false;
  state_->Add(node_->Find(key).Mark(),
              fmt::format("{}: true or false is expected", node_->PathOf(key)));
  return fallback;
}

std::chrono::milliseconds SettingsReader::Duration(std::string_view key,
                                                   std::chrono::milliseconds fallback,
                                                   std::chrono::milliseconds low,
                                                   std::chrono::milliseconds high,
                                                   std::string_view help) {
  const std::string bounds = fmt::format("{} to {}", FormatDuration(low), FormatDuration(high));
  node_->Declare(key, FormatDuration(fallback), help, bounds);
  const auto text = node_->Scalar(*state_, key);
  if (!text) return fallback;
  const auto value = ParseDuration(*text);
  if (value && *value >= low && *value <= high) return *value;
  state_->Add(
      node_->Find(key).Mark(),
      fmt::format("{}: a duration such as \"30s\", {}, is expected", node_->PathOf(key), bounds));
  return fallback;
}

uint64_t SettingsReader::Bytes(std::string_view key, uint64_t fallback, uint64_t low, uint64_t high,
                               std::string_view help) {
  const std::string bounds = fmt::format("{} to {}", FormatBytes(low), FormatBytes(high));
  node_->Declare(key, FormatBytes(fallback), help, bounds);
  const auto text = node_->Scalar(*state_, key);
  if (!text) return fallback;
  const auto value = ParseBytes(*text);
  if (value && *value >= low && *value <= high) return *value;
  state_->Add(node_->Find(key).Mark(), fmt::format("{}: a size such as \"64MiB\", {}, is expected",
                                                   node_->PathOf(key), bounds));
  return fallback;
}

std::vector<std::string> SettingsReader::Strings(std::string_view key,
                                                 std::vector<std::string> fallback,
                                                 std::string_view help) {
  std::vector<std::string> quoted;
  for (const std::string& item : fallback) quoted.push_back(YamlText(item));
  node_->Declare(key, fmt::format("[{}]", Join(quoted, ", ")), help);
  const YAML::Node list = node_->Find(key);
  if (!list.IsDefined()) return fallback;
  std::vector<std::string> out;
  bool good = list.IsSequence();
  for (const auto& item : list) {
    good = good && item.IsScalar();
    if (good) out.push_back(item.Scalar());
  }
  if (good) return out;
  state_->Add(list.Mark(), fmt::format("{}: a list of texts is expected", node_->PathOf(key)));
  return fallback;
}

SettingsReader SettingsReader::Section(std::string_view key, std::string_view help) {
  auto child = std::make_shared<Node>();
  child->path = node_->PathOf(key);
  const YAML::Node value = node_->Find(key);
  if (!value.IsDefined() || value.IsNull()) {
    child->yaml.reset(YAML::Node(YAML::NodeType::Map));
  } else {
    child->yaml.reset(value);
    if (!value.IsMap()) {
      state_->Add(value.Mark(), fmt::format("{}: a map is expected", child->path));
    }
  }
  node_->children.push_back(child);
  node_->Declare(key, "", help, "", child);
  return {state_, child};
}

std::vector<SettingsReader> SettingsReader::Sections(std::string_view key, std::string_view help) {
  node_->Declare(key, "[]", help);
  const YAML::Node list = node_->Find(key);
  std::vector<SettingsReader> out;
  if (!list.IsDefined() || list.IsNull()) return out;
  if (!list.IsSequence()) {
    state_->Add(list.Mark(), fmt::format("{}: a list of maps is expected", node_->PathOf(key)));
    return out;
  }
  for (size_t i = 0; i < list.size(); ++i) {
    auto child = std::make_shared<Node>();
    child->path = fmt::format("{}[{}]", node_->PathOf(key), i);
    child->yaml.reset(list[i]);
    if (!child->yaml.IsMap()) {
      state_->Add(child->yaml.Mark(), fmt::format("{}: a map is expected", child->path));
    }
    node_->children.push_back(child);
    out.push_back(SettingsReader(state_, child));
  }
  return out;
}

absl::Status SettingsReader::Finish() const {
  State all = *state_;
  node_->FindUnknown(all);
  if (all.errors.empty()) return absl::OkStatus();
  std::vector<std::string> messages;
  for (const auto& [line, message] : all.errors) messages.push_back(message);
  return SettingsError(Join(messages, "; "));
}

std::string SettingsReader::Document() const {
  std::string out;
  node_->Document(out, 0);
  return out;
}

}  // namespace yagura::config
