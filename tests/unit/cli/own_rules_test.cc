// Our own rules on lines of devices, through the parsers and the engine as `yagura detect` has
// them.
#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "yaml-cpp/yaml.h"

#include "common/testing/fortigate_lines.h"
#include "common/testing/process.h"
#include "tests/unit/cli/own_rules_cases.h"
#include "tests/unit/cli/own_rules_page.h"
#include "tests/unit/services/ingestion/enrichment/mmdb_writer.h"
#include "yagura/directory/v1/asset.pb.h"
#include "yagura/directory/v1/site.pb.h"

namespace yagura::cli::testing {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;
using ::testing::UnorderedElementsAreArray;

// What a tenant's network and a GeoIP file say; null where the case has neither.
std::shared_ptr<ingestion::CurrentEnrichment> EnrichmentOf(const OwnRuleCase& one) {
  if (one.countries.empty() && one.networks.empty()) return nullptr;
  ingestion::Enrichment with;
  directory::v1::Site site;
  site.set_name("tenants/local/sites/hq");
  for (const auto& network : one.networks) site.add_networks(network);
  with.assets = ingestion::AssetMap::Build({}, {site});
  if (!one.countries.empty()) {
    ingestion::MmdbWriter writer;
    for (const auto& [network, country] : one.countries) {
      writer.Add(network, {{"country", ingestion::MmdbWriter::Map{{"iso_code", country.c_str()}}}});
    }
    const yagura::testing::TemporaryFolder folder;
    writer.Write(folder.path() / "countries.mmdb");
    auto opened = ingestion::GeoDatabase::Open(folder.path() / "countries.mmdb");
    EXPECT_TRUE(opened.ok()) << opened.status();
    if (opened.ok()) with.geo.push_back(*opened);
  }
  auto current = std::make_shared<ingestion::CurrentEnrichment>();
  current->Set(std::make_shared<const ingestion::Enrichment>(std::move(with)));
  return current;
}

std::vector<std::string> FoundIn(const OwnRuleCase& one) {
  static const auto kNames = OwnRuleNames();
  std::vector<std::string> texts;
  for (const auto& finding : Detect(one.lines, one.placeholders, EnrichmentOf(one))) {
    texts.push_back(FindingText(finding, kNames));
  }
  return texts;
}

class OwnRules : public ::testing::TestWithParam<OwnRuleCase> {};

TEST_P(OwnRules, FindExactlyThis) {
  EXPECT_THAT(FoundIn(GetParam()), UnorderedElementsAreArray(GetParam().findings));
}

std::string TestName(const ::testing::TestParamInfo<OwnRuleCase>& info) {
  std::string name = fmt::format("{}_{}", info.param.rule, info.param.name);
  std::ranges::replace_if(
      name, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
  return name;
}
INSTANTIATE_TEST_SUITE_P(Cases, OwnRules, ::testing::ValuesIn(LoadOwnRuleCases()), TestName);

std::vector<YAML::Node> Documents(const std::string& rule) {
  return YAML::LoadAllFromFile(SourceFolder() + "/content/sigma/" + rule + ".yml");
}

TEST(OwnRulesAll, SayWhatTheyAre) {
  std::set<std::string> ids;
  for (const auto& [id, rule] : OwnRuleNames()) {
    for (const auto& document : Documents(rule)) {
      const auto title = document["title"].as<std::string>();
      EXPECT_TRUE(ids.insert(document["id"].as<std::string>()).second) << title;
      for (const auto* key :
           {"description", "status", "author", "date", "level", "tags", "falsepositives"}) {
        EXPECT_TRUE(document[key].IsDefined()) << title << " lacks " << key;
      }
      const bool counts = document["correlation"].IsDefined();
      // What is only counted is no finding of its own.
      const bool counted = Documents(rule).size() > 1 && document["name"].IsDefined();
      EXPECT_EQ(document["level"].as<std::string>() == "informational", counted) << title;
      EXPECT_NE(counts, document["logsource"].IsDefined()) << title;
    }
  }
}

// YAGURA_WRITE_OWN_RULES=1 makes the page anew.
TEST(OwnRulesAll, AreOnTheirPage) {
  const std::string file = SourceFolder() + "/docs/own-rules.md";
  std::stringstream text;
  text << std::ifstream(file).rdbuf();
  const std::string page = text.str();
  const size_t mark = page.find(kMadeFromRules);
  ASSERT_NE(mark, std::string::npos);
  const std::string head = page.substr(0, mark + std::string_view(kMadeFromRules).size());
  const std::string wanted = head + "\n" + OwnRulesPage();
  if (std::getenv("YAGURA_WRITE_OWN_RULES") != nullptr) std::ofstream(file) << wanted;
  EXPECT_TRUE(page == wanted) << "docs/own-rules.md does not say what content/sigma says";
}

TEST(OwnRulesAll, HaveTheirPlaceholdersExplained) {
  std::stringstream text;
  text << std::ifstream(SourceFolder() + "/docs/own-rules.md").rdbuf();
  const std::string page = text.str();
  const std::string head = page.substr(0, page.find(kMadeFromRules));
  const std::string made = OwnRulesPage();
  size_t named = 0;
  for (size_t at = made.find("`%"); at != std::string::npos; at = made.find("`%", at + 1)) {
    ++named;
    EXPECT_THAT(head, HasSubstr("| " + made.substr(at, made.find('`', at + 1) + 1 - at) + " |"));
  }
  EXPECT_GE(named, ExamplePlaceholders().size());
}

// Lines of others, most of them of ordinary days.
TEST(OwnRulesAll, FindNothingInOrdinaryLinesButChangesOutsideTheHours) {
  const char* given = std::getenv("YAGURA_DATA");
  const auto data = given != nullptr ? std::filesystem::path(given)
                                     : std::filesystem::path(SourceFolder()) / "../shared/data";
  if (!std::filesystem::exists(data / "syslog-lines")) GTEST_SKIP() << "no shared data";
  std::set<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(data / "syslog-lines")) {
    if (entry.path().extension() == ".log") files.insert(entry.path());
  }
  std::vector<std::string> lines;
  for (const auto& file : files) {
    std::ifstream in(file);
    for (std::string line; std::getline(in, line);) lines.push_back(line);
  }
  ASSERT_GT(lines.size(), 500U);
  EXPECT_THAT(Detect(lines, {}), IsEmpty());
  const auto names = OwnRuleNames();
  std::vector<std::string> texts;
  for (const auto& finding : Detect(lines, ExamplePlaceholders())) {
    texts.push_back(FindingText(finding, names));
  }
  // Cisco IOS, Check Point and Palo Alto tell of changes at 00:15 and 09:15, and the example says
  // 13 to 15.
  EXPECT_THAT(texts, SizeIs(8));
  EXPECT_THAT(texts, Each(StartsWith("device/configuration_changed_outside_window ")));
}

// What the end-to-end tests send: their findings are exact, so nothing else may be found in it.
TEST(OwnRulesAll, FindOnlyWhatIsMeantInMadeUpTraffic) {
  const auto names = OwnRuleNames();
  for (uint64_t seed : {1, 20}) {
    std::vector<std::string> lines;
    for (const auto* device : {"fw-1", "fw-2"}) {
      yagura::testing::FortigateLines::Options options;
      options.seed = seed++;
      options.start = TimePoint(std::chrono::seconds(1'795'395'600));
      options.device_name = device;
      options.serial = device;
      yagura::testing::FortigateLines generator(options);
      for (int i = 0; i < 49'900; ++i) lines.push_back(generator.Next());
    }
    std::set<std::string> found;
    for (const auto& finding : Detect(lines, {})) {
      const auto name = names.find(finding.rule_id());
      found.insert(name == names.end() ? finding.title() : name->second);
    }
    EXPECT_THAT(found, UnorderedElementsAre("device/admin_login_brute_force",
                                            "fortinet/fortigate_ips_blocked",
                                            "fortinet/fortigate_ips_let_through"))
        << "seed " << seed;
  }
}

TEST(OwnRulesAll, HaveCasesThatAreFoundAndCasesThatAreNot) {
  std::set<std::string> found;
  std::set<std::string> not_found;
  for (const auto& one : LoadOwnRuleCases()) {
    const bool finds = std::ranges::any_of(one.findings, [&](const std::string& finding) {
      return finding.starts_with(one.rule + " ");
    });
    (finds ? found : not_found).insert(one.rule);
  }
  for (const auto& [id, name] : OwnRuleNames()) {
    if (name.starts_with("fortinet/")) continue;  // content_rules_test.cc has these
    EXPECT_THAT(found, Contains(name));
    EXPECT_THAT(not_found, Contains(name));
  }
}

}  // namespace
}  // namespace yagura::cli::testing
