#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

// Typed settings from YAML. Every key is read once with its default, bounds and a sentence of help;
// what was not asked for is an unknown key and an error.
namespace yagura::config {

class SettingsReader {
 public:
  static absl::StatusOr<SettingsReader> FromYaml(std::string_view yaml);
  static absl::StatusOr<SettingsReader> FromFile(const std::filesystem::path& file);
  static SettingsReader Empty();  // everything at its default

  std::string String(std::string_view key, std::string_view fallback, std::string_view help);
  // A secret is read from the file that `<key>_file` names; it never appears in Document().
  std::string Secret(std::string_view key, std::string_view help);
  int64_t Integer(std::string_view key, int64_t fallback, int64_t low, int64_t high,
                  std::string_view help);
  double Number(std::string_view key, double fallback, double low, double high,
                std::string_view help);
  bool Boolean(std::string_view key, bool fallback, std::string_view help);
  // "250ms", "30s", "5m", "12h", "7d".
  std::chrono::milliseconds Duration(std::string_view key, std::chrono::milliseconds fallback,
                                     std::chrono::milliseconds low, std::chrono::milliseconds high,
                                     std::string_view help);
  // "64KiB", "2GiB", plain bytes.
  uint64_t Bytes(std::string_view key, uint64_t fallback, uint64_t low, uint64_t high,
                 std::string_view help);
  std::vector<std::string> Strings(std::string_view key, std::vector<std::string> fallback,
                                   std::string_view help);
  // A nested map; empty where absent. Its errors are reported by the root's Finish.
  SettingsReader Section(std::string_view key, std::string_view help);
  // A list of maps.
  std::vector<SettingsReader> Sections(std::string_view key, std::string_view help);

  // A value that is wrong for a reason that its bounds cannot tell, be it in the file or the
  // default: an error of Finish.
  void Refuse(std::string_view key, std::string_view reason);

  // INVALID_ARGUMENT naming every wrong and every unknown key with its line.
  absl::Status Finish() const;
  // The settings as commented YAML with their defaults, for --print-settings and the docs.
  std::string Document() const;

 private:
  struct State;
  struct Node;
  SettingsReader(std::shared_ptr<State> state, std::shared_ptr<Node> node);
  std::shared_ptr<State> state_;
  std::shared_ptr<Node> node_;
};

}  // namespace yagura::config
