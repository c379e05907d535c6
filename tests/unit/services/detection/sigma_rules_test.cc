// SigmaHQ's rules, where they are at hand: what of them is refused, and why.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/status/status.h"
#include "services/detection/domain/engine/sigma_rule.h"

namespace yagura::detection {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

std::filesystem::path SigmaFolder() {
  if (const char* data = std::getenv("YAGURA_DATA")) return std::filesystem::path(data) / "sigma";
  const char* source = std::getenv("YAGURA_SOURCE_DIR");
  return std::filesystem::path(source != nullptr ? source : ".") / "../shared/data/sigma";
}

// What is the same about refusals of one kind: without lines and names of placeholders.
std::string KindOf(std::string_view reason) {
  const std::string text(reason.substr(reason.starts_with("line ") ? reason.find(": ") + 2 : 0));
  return std::regex_replace(text, std::regex("%[A-Za-z0-9_.-]+%"), "%...%");
}

TEST(SigmaRules, RefusedAreThoseWithoutValuesForTheirPlaceholdersAlone) {
  const auto folder = SigmaFolder();
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no rules at " << folder;
  std::map<std::string, int> refused;
  int loaded = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.path().extension() != ".yml") continue;
    std::ifstream in(entry.path());
    std::stringstream text;
    text << in.rdbuf();
    const auto parsed = ParseSigma(text.str());
    loaded += parsed.ok() ? 1 : 0;
    if (parsed.ok()) continue;
    ++refused[KindOf(Message(parsed.status()))];
    std::cout << entry.path().filename().string() << ": " << Message(parsed.status()) << "\n";
  }
  EXPECT_EQ(loaded, 3755);
  EXPECT_THAT(refused, ElementsAre(Pair("placeholder %...% has no value", 25)));
}

// Every placeholder of these rules, with something that fits where it stands.
Placeholders SomeValues() {
  Placeholders values;
  for (const std::string_view name : {"administrators",
                                      "admins-workstations",
                                      "approveduserupn",
                                      "approved-inviters",
                                      "dc-machine-name",
                                      "domaincontrollers",
                                      "hometenantid",
                                      "important-appids",
                                      "known-location",
                                      "legitimate-countries",
                                      "legitimate-ip-ranges",
                                      "serversystems",
                                      "unapproveddevice",
                                      "unapprovedip",
                                      "unlegitcountries",
                                      "workstations",
                                      "dc-ip-addresses",
                                      "dc-machine-accounts",
                                      "domain-controller-hostnames",
                                      "internal-domains",
                                      "legit-ips",
                                      "legtimate-identifiers",
                                      "userdomain",
                                      "known-cdcs"}) {
    values[std::string(name)] = {"one", "two*"};
  }
  return values;
}

TEST(SigmaRules, AllLoadOncePlaceholdersHaveValues) {
  const auto folder = SigmaFolder();
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no rules at " << folder;
  const Placeholders values = SomeValues();
  int loaded = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.path().extension() != ".yml") continue;
    std::ifstream in(entry.path());
    std::stringstream text;
    text << in.rdbuf();
    const auto parsed = ParseSigma(text.str(), values);
    EXPECT_TRUE(parsed.ok()) << entry.path() << ": " << parsed.status();
    loaded += parsed.ok() ? 1 : 0;
  }
  EXPECT_EQ(loaded, 3780);
}

}  // namespace
}  // namespace yagura::detection
