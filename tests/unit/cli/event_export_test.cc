// Exported files: bounded, whole, resumable, and checked by sha256sum alone.
#include "cli/export/event_export.h"

#include <fstream>
#include <iterator>

#include "cli/event_json.h"
#include "cli/send/zstd_stream.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/clock/proto_time.h"
#include "common/status/status.h"
#include "common/testing/process.h"
#include "common/testing/status_matchers.h"

namespace yagura::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using ::testing::Not;

constexpr uint64_t kPartBytes = 1'000;

event::v1::Event Numbered(int number) {
  event::v1::Event event;
  event.set_id(fmt::format("a-{}", number));
  event.set_tenant("acme");
  event.set_raw(fmt::format("line {}", number));
  *event.mutable_receive_time() = ToProto(TimePoint(std::chrono::seconds(1'790'000'000 + number)));
  return event;
}

class EventExportTest : public ::testing::Test {
 protected:
  StatusOr<EventExport> Open() const { return EventExport::Open(folder_, question_, kPartBytes); }
  // Adds from..to-1, a message of ten each.
  static void Add(EventExport& files, int from, int to) {
    for (int i = from; i < to; ++i) {
      ASSERT_THAT(files.Add(Numbered(i)), IsOk());
      if (i % 10 != 9) continue;
      ASSERT_THAT(files.Reached(fmt::format("token{}", i + 1)), IsOk());
    }
  }
  // The files of an export that ended behind so many lines.
  std::vector<EventExport::Part> BrokenOff(int lines) const {
    auto files = Open();
    EXPECT_THAT(files, IsOk());
    if (!files.ok()) return {};
    Add(*files, 0, lines);
    return files->parts();
  }
  std::string Read(const std::string& name) const {
    std::ifstream file(folder_ / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::string AllLines(const EventExport& files) const {
    std::string lines;
    for (const auto& part : files.parts()) {
      const auto text = OpenZstd((folder_ / part.name).string());
      lines.append(std::istreambuf_iterator<char>(*text), {});
    }
    return lines;
  }
  bool SumsFit() const {
    const std::string command = fmt::format(
        "cd '{}' && sha256sum --strict -c SHA256SUMS >/dev/null 2>&1", folder_.string());
    return std::system(command.c_str()) == 0;
  }

  const testing::TemporaryFolder temporary_;
  const std::filesystem::path& folder_ = temporary_.path();
  ExportQuestion question_{"tenants/acme", "", "2026-09-01T00:00:00Z", "2026-10-01T00:00:00Z"};
};

std::string Expected(int count) {
  std::string lines;
  for (int i = 0; i < count; ++i) lines += EventToJson(Numbered(i)) + "\n";
  return lines;
}

TEST_F(EventExportTest, WritesPartsThatAThirdPartyCanCheck) {
  auto files = Open();
  ASSERT_THAT(files, IsOk());
  Add(*files, 0, 100);
  ASSERT_THAT(files->Finish("\"note\":\"x\""), IsOk());
  EXPECT_GT(files->parts().size(), 3u);
  EXPECT_EQ(files->events(), 100u);
  EXPECT_EQ(AllLines(*files), Expected(100));
  EXPECT_TRUE(SumsFit());
  EXPECT_THAT(Read("manifest.json"), HasSubstr("\"events\":100"));
  EXPECT_THAT(Read("manifest.json"), HasSubstr("\"note\":\"x\""));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "export.state"));
  std::ofstream(folder_ / files->parts()[0].name, std::ios::app) << "x";
  EXPECT_FALSE(SumsFit());
}

TEST_F(EventExportTest, GoesOnBehindTheLastWholePart) {
  std::string token;
  uint64_t before = 0;
  {
    auto files = Open();
    ASSERT_THAT(files, IsOk());
    Add(*files, 0, 55);
    before = files->parts().size();
    ASSERT_GT(before, 1u);
  }
  auto files = Open();
  ASSERT_THAT(files, IsOk());
  EXPECT_EQ(files->parts().size(), before);
  const std::string& at = files->page_token();
  ASSERT_TRUE(at.starts_with("token"));
  const int from = std::stoi(at.substr(5));
  EXPECT_EQ(files->events(), static_cast<uint64_t>(from));
  EXPECT_EQ(EventExport::Unfinished(folder_)->start_time, question_.start_time);
  Add(*files, from, 100);
  ASSERT_THAT(files->Finish(""), IsOk());
  EXPECT_EQ(AllLines(*files), Expected(100));
  EXPECT_TRUE(SumsFit());
}

TEST_F(EventExportTest, WritesAnewWhatIsNotAsItWasWritten) {
  const auto flip = [](const std::filesystem::path& file) {
    std::fstream bytes(file, std::ios::in | std::ios::out | std::ios::binary);
    bytes.seekp(20);
    bytes.put('\x55');
  };
  const auto cut = [](const std::filesystem::path& file) {
    std::filesystem::resize_file(file, std::filesystem::file_size(file) - 1);
  };
  const auto lengthen = [](const std::filesystem::path& file) {
    std::ofstream(file, std::ios::app | std::ios::binary) << 'x';
  };
  const auto remove = [](const std::filesystem::path& file) { std::filesystem::remove(file); };
  for (const std::function<void(const std::filesystem::path&)>& harm :
       {std::function<void(const std::filesystem::path&)>(flip), {cut}, {lengthen}, {remove}}) {
    std::filesystem::remove_all(folder_);
    std::vector<EventExport::Part> before;
    {
      auto files = Open();
      ASSERT_THAT(files, IsOk());
      Add(*files, 0, 85);
      before = files->parts();
      ASSERT_GE(before.size(), 3u);
    }
    harm(folder_ / before[1].name);
    auto files = Open();
    ASSERT_THAT(files, IsOk());
    EXPECT_EQ(files->altered(), before[1].name);
    EXPECT_EQ(files->dropped().front(), before[1].name);
    ASSERT_EQ(files->parts().size(), 1u);
    EXPECT_EQ(files->page_token(), before[0].page_token);
    EXPECT_FALSE(std::filesystem::exists(folder_ / before[2].name));
    const int from = std::stoi(files->page_token().substr(5));
    EXPECT_EQ(files->events(), static_cast<uint64_t>(from));
    Add(*files, from, 100);
    ASSERT_THAT(files->Finish(""), IsOk());
    EXPECT_EQ(AllLines(*files), Expected(100));
    EXPECT_TRUE(SumsFit());
  }
}

// The state as it was written before each file had a place of its own to go on from.
std::string AsOfAnEarlierRelease(std::string state) {
  constexpr std::string_view kToken = ",\"page_token\":\"";
  std::string last;
  for (size_t at = state.find(kToken); at != std::string::npos; at = state.find(kToken)) {
    const size_t begin = at + kToken.size();
    const size_t end = state.find('"', begin);
    last = state.substr(begin, end - begin);
    state.erase(at, end + 1 - at);
  }
  const std::string remarks = "\"remarks\":[]";
  return state.replace(state.find(remarks), remarks.size(),
                       fmt::format("\"page_token\":\"{}\"", last));
}

TEST_F(EventExportTest, GoesOnBehindTheFilesOfAnEarlierRelease) {
  const std::vector<EventExport::Part> before = BrokenOff(85);
  ASSERT_GE(before.size(), 3u);
  const std::string state = AsOfAnEarlierRelease(Read("export.state"));
  ASSERT_THAT(
      state, HasSubstr(fmt::format("\"page_token\":\"{}\",\n\"files\"", before.back().page_token)));
  std::ofstream(folder_ / "export.state") << state;
  for (int again = 0; again < 2; ++again) {  // the second reads what the first wrote
    auto files = Open();
    ASSERT_THAT(files, IsOk());
    EXPECT_THAT(files->dropped(), IsEmpty());
    EXPECT_EQ(files->parts().size(), before.size());
    EXPECT_EQ(files->page_token(), before.back().page_token);
    EXPECT_THAT(files->remarks(), ElementsAre(HasSubstr("did not wait")));
  }
  auto files = Open();
  ASSERT_THAT(files, IsOk());
  Add(*files, std::stoi(files->page_token().substr(5)), 100);
  ASSERT_THAT(files->Finish(""), IsOk());
  EXPECT_EQ(AllLines(*files), Expected(100));
  EXPECT_TRUE(SumsFit());
  EXPECT_THAT(Read("manifest.json"), HasSubstr("did not wait"));
}

TEST_F(EventExportTest, KeepsNoFileOfAnEarlierReleaseThatNothingCanGoOnBehind) {
  const std::vector<EventExport::Part> before = BrokenOff(85);
  ASSERT_GE(before.size(), 3u);
  const std::string state = AsOfAnEarlierRelease(Read("export.state"));
  std::ofstream(folder_ / "export.state") << state;
  std::ofstream(folder_ / before.back().name, std::ios::app | std::ios::binary) << 'x';
  auto files = Open();
  ASSERT_THAT(files, IsOk());
  EXPECT_EQ(files->altered(), before.back().name);
  EXPECT_EQ(files->dropped().size(), before.size());
  EXPECT_THAT(files->parts(), IsEmpty());
  EXPECT_EQ(files->page_token(), "");
  EXPECT_THAT(files->remarks(), IsEmpty()) << "nothing of it is there";
  Add(*files, 0, 100);
  ASSERT_THAT(files->Finish(""), IsOk());
  EXPECT_EQ(AllLines(*files), Expected(100));
  EXPECT_TRUE(SumsFit());
}

TEST_F(EventExportTest, TakesNoNamesFromAStateThatItDidNotWrite) {
  {
    auto files = Open();
    ASSERT_THAT(files, IsOk());
    Add(*files, 0, 55);
  }
  std::string state = Read("export.state");
  const std::string name = "events-000001.jsonl.zst";
  state.replace(state.find(name), name.size(), "../letter.txt");
  std::ofstream(folder_ / "export.state") << state;
  EXPECT_EQ(ErrorReason(Open().status()), "EXPORT_STATE");
}

TEST_F(EventExportTest, SaysThatAnotherOneRuns) {
  {
    const auto running = Open();
    ASSERT_THAT(running, IsOk());
    EXPECT_EQ(ErrorReason(Open().status()), "EXPORT_RUNNING");
    question_.filter = "user = taro";
    EXPECT_EQ(ErrorReason(Open().status()), "EXPORT_RUNNING");
    question_.filter.clear();
  }
  EXPECT_THAT(Open(), IsOk());
}

TEST_F(EventExportTest, MixesNothing) {
  ASSERT_THAT(Open(), IsOk());
  question_.filter = "user = taro";
  EXPECT_EQ(ErrorReason(Open().status()), "EXPORT_DIFFERS");
  std::filesystem::remove(folder_ / "export.state");
  std::ofstream(folder_ / "letter.txt") << "mine";
  EXPECT_EQ(ErrorReason(Open().status()), "EXPORT_FOLDER_NOT_EMPTY");
}

TEST_F(EventExportTest, KeepsBytesThatAreNoUtf8) {
  event::v1::Event event = Numbered(1);
  EXPECT_THAT(EventToJson(event), Not(HasSubstr("raw_base64")));
  event.set_raw("\x83\x65");
  EXPECT_THAT(EventToJson(event), EndsWith(",\"raw_base64\":\"g2U=\"}"));
}

}  // namespace
}  // namespace yagura::cli
