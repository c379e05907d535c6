// What all shared rules find in all shared events, as a digest. A change of the engine must not
// change it; a change of what Sigma means here does, and then the counts below are looked at again,
// by hand:
//
//   YAGURA_GOLDEN=/tmp/golden detection_differential_test --gtest_filter='EngineGolden.*'
//
// writes "count rule-id title" for every rule that matched, to compare with what the file said
// before the change, and the digest.
#include <openssl/sha.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <map>

#include "fmt/format.h"
#include "gtest/gtest.h"

#include "common/text/text.h"
#include "services/detection/domain/engine/batch_matcher.h"
#include "tests/unit/services/detection/shared_data.h"

namespace yagura::detection {
namespace {

struct Golden {
  size_t events = 0;
  std::map<std::string, uint64_t> matches;  // by rule id
  std::map<std::string, std::string> titles;

  std::string Digest() const {
    std::string text;
    for (const auto& [id, count] : matches) text += fmt::format("{} {}\n", id, count);
    std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
    SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
    return HexEncode({reinterpret_cast<const char*>(digest.data()), digest.size()}).substr(0, 16);
  }
};

Golden MatchAll(size_t per_batch) {
  Golden golden;
  const auto rules = testing::LoadSharedRules().set;
  BatchMatcher matcher(rules);
  for (const auto& bytes : testing::SharedBatches(per_batch, SIZE_MAX)) {
    auto reader = event::BatchReader::Open(bytes);
    EXPECT_TRUE(reader.ok());
    const auto matches = matcher.Run(*reader);
    EXPECT_TRUE(matches.ok()) << matches.status();
    golden.events += reader->size();
    for (const auto& match : *matches) {
      const auto& target = rules->targets()[match.target];
      const auto& info = rules->rule(target).rules[target.rule].info;
      ++golden.matches[info.id];
      golden.titles[info.id] = info.title;
    }
  }
  return golden;
}

// Counts that were found otherwise: each of these rules was read and written again by hand as a
// short script over the JSON lines, which counted the same; and of each one matching event was read
// beside the rule. What these have among them: equality, startswith, endswith, contains,
// contains|all, cidr, null, keywords over the whole event, several event ids or channels for a
// category, `1 of` and `all of`, filters.
constexpr std::pair<std::string_view, uint64_t> kChecked[] = {
    // PowerShell 4103 with any ContextInfo but what the filters name.
    {"64e8e417-c19a-475a-8d19-98ea705394cc", 507},
    // Security 4634 and 4647.
    {"0badd08f-c6a3-4630-90d3-6875cca440be", 306},
    // Sysmon 12 below TaskCache\Tasks, by svchost.exe.
    {"93ff0ceb-e0ef-4586-8cd8-a6c277d738e3", 159},
    // Sysmon 3 of powershell.exe to 172.18.39.106:5985: internal, but the user is no service.
    {"1f21ec3f-810d-4b0e-8045-322202e22b4b", 122},
    // mshta.exe sets ZoneMap to DWORD (0x00000001); Sysmon 12 has no Details, which is null.
    {"7f4c43f9-b1a5-4c7d-b24a-b41bf3a3ebf2", 19},
    // calc.exe opened with 0x1fffff; the rule writes 0x1FFFFF.
    {"a24e5861-c6ca-4fde-a93c-ba9256feddf0", 17},
    // "powershell.exe -noP -sta -w 1 -enc  SQBG...".
    {"79f4ede3-402e-41c8-bc3e-ebbf5f162581", 16},
    // Pipe \PSHost.132199842056549047.4676.DefaultAppDomain.wsmprovhost.
    {"ac7102b4-9e1e-4802-9b4f-17c5524c015c", 13},
    // Security 4661 with %%5392 about the domain theshire.
    {"12ba6a38-adb3-4d6b-91ba-a7fb248e3199", 13},
    // "conhost.exe 0xffffffff -ForceV1" with integrity High.
    {"3037d961-21e9-4732-b27a-637bcc7bf539", 12},
    // "whoami.exe" /user; "net.exe" user.
    {"502b42de-4306-40b4-9596-6f590c81f073", 11},
    // WmiPrvSE.exe to fe80:...:324b, port 9389.
    {"b3ad3c0f-c949-47a1-a30e-b0491ccae876", 10},
    // One of twenty keywords anywhere in the event; here in a PowerShell 4103.
    {"06d71506-7beb-4f22-8888-e2e5e2ca7fd8", 8},
    {"fb843269-508c-4b76-8b8d-88679db22ce7", 6},
    {"c539afac-c12a-46ed-b1bd-5a5567c9f045", 6},
    // A handle to ...\ConsentStore\microphone\NonPackaged.
    {"8cd538a4-62d5-4e83-810b-12d41e428d6e", 6},
    // "cmd" as NT AUTHORITY\SYSTEM with logon 0x3e7.
    {"61065c72-5d7d-44ef-bf41-6a36684b545f", 6},
    // Security 4662 on Policy\Secrets\G$BCKUPKEY_PREFERRED.
    {"4ac1f50b-3bd0-4968-902d-868b4647937e", 4},
    {"183e7ea8-ac4b-4c23-9aec-b3dac4e401ac", 4},
    // Security 4662 with DS-Replication-Get-Changes, by no machine's account.
    {"17d619c1-e020-4347-957e-1d1207455c93", 3},
    {"84b0a8f3-680b-4096-a45b-e9a89221727c", 3},
    // Pipe \PSEXESVC, made and opened.
    {"f3f3a972-f982-40ad-b63c-bca6afdfad7c", 2},
};

TEST(EngineGolden, AllSharedRulesFindInAllSharedEventsWhatTheyDid) {
  if (!testing::HasSharedData()) GTEST_SKIP() << "no shared rules and events";
  const Golden golden = MatchAll(256);
  if (const char* file = std::getenv("YAGURA_GOLDEN")) {
    std::ofstream out(file);
    for (const auto& [id, count] : golden.matches) {
      out << fmt::format("{} {} {}\n", count, id, golden.titles.at(id));
    }
    out << "digest " << golden.Digest() << "\n";
  }
  EXPECT_EQ(golden.events, 126'120U);
  for (const auto& [id, count] : kChecked) {
    const auto found = golden.matches.find(std::string(id));
    EXPECT_EQ(found == golden.matches.end() ? 0 : found->second, count) << id;
  }
  EXPECT_EQ(golden.matches.size(), 166U);
  EXPECT_EQ(golden.Digest(), "c8ced3cf61a815ba");
}

}  // namespace
}  // namespace yagura::detection
