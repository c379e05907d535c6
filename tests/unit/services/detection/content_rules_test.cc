#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "services/detection/domain/engine/batch_matcher.h"
#include "tests/unit/services/detection/engine_fixture.h"

namespace yagura::detection {
namespace {

using testing::BatchOf;
using testing::Fields;
using ::testing::IsEmpty;
using testing::MakeEvent;
using ::testing::UnorderedElementsAre;

std::vector<std::filesystem::path> ContentFiles() {
  std::vector<std::filesystem::path> files;
  const char* source = std::getenv("YAGURA_SOURCE_DIR");
  const auto folder =
      std::filesystem::path(source != nullptr ? source : ".") / "content/sigma/fortinet";
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.path().extension() == ".yml") files.push_back(entry.path());
  }
  return files;
}

// The rules for FortiGate alone over one event: the files of those that match. Those for every
// product have their cases in tests/unit/cli/own_rules.
class ContentRulesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::vector<RuleSet::Entry> entries;
    for (const auto& file : ContentFiles()) {
      std::ifstream in(file);
      std::stringstream text;
      text << in.rdbuf();
      auto parsed = ParseSigma(text.str());
      ASSERT_TRUE(parsed.ok()) << file << ": " << parsed.status();
      EXPECT_FALSE(parsed->info().description.empty()) << file;
      EXPECT_FALSE(parsed->info().tags.empty()) << file;
      EXPECT_FALSE(parsed->info().false_positives.empty()) << file;
      const bool is_new = names_.emplace(parsed->info().id, file.stem().string()).second;
      EXPECT_TRUE(is_new) << file << " has the id of another rule";
      entries.push_back({"", std::make_shared<const ParsedRule>(*std::move(parsed))});
    }
    matcher_ = std::make_unique<BatchMatcher>(RuleSet::Build(std::move(entries)));
  }

  std::vector<std::string> Matching(std::string_view category, Fields fields) {
    auto event = MakeEvent(fields);
    event.set_product("fortinet.fortigate");
    event.set_category(std::string(category));
    auto batch = BatchOf({event});
    std::vector<std::string> names;
    const auto matches = matcher_->Run(batch);
    EXPECT_TRUE(matches.ok()) << matches.status();
    for (const auto& match : *matches) {
      const auto& target = matcher_->rules().targets()[match.target];
      names.push_back(names_[matcher_->rules().rule(target).info().id]);
    }
    return names;
  }

  std::map<std::string, std::string> names_;  // Sigma id to file
  std::unique_ptr<BatchMatcher> matcher_;
};

TEST_F(ContentRulesTest, Intrusions) {
  EXPECT_THAT(
      Matching("utm", {{"subtype", "ips"}, {"severity", "critical"}, {"action", "detected"}}),
      UnorderedElementsAre("fortigate_ips_let_through"));
  EXPECT_THAT(
      Matching("utm", {{"subtype", "ips"}, {"severity", "critical"}, {"action", "dropped"}}),
      UnorderedElementsAre("fortigate_ips_blocked"));
  EXPECT_THAT(Matching("utm", {{"subtype", "ips"}, {"severity", "low"}, {"action", "detected"}}),
              IsEmpty());
}

TEST_F(ContentRulesTest, ConfigurationChanges) {
  EXPECT_THAT(Matching("event", {{"cfgpath", "firewall.policy"}, {"action", "Edit"}}),
              UnorderedElementsAre("fortigate_configuration_changed"));
  EXPECT_THAT(
      Matching("event", {{"cfgpath", "system.admin"}, {"action", "Add"}}),
      UnorderedElementsAre("fortigate_configuration_changed", "fortigate_administrator_added"));
}

TEST_F(ContentRulesTest, Malware) {
  EXPECT_THAT(Matching("utm", {{"subtype", "virus"},
                               {"eventtype", "infected"},
                               {"virus", "EICAR_TEST_FILE"},
                               {"action", "blocked"}}),
              UnorderedElementsAre("fortigate_malware_detected"));
  EXPECT_THAT(Matching("utm", {{"subtype", "webfilter"}, {"action", "blocked"}}), IsEmpty());
}

}  // namespace
}  // namespace yagura::detection
