#include "services/ingestion/domain/charset.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "services/ingestion/domain/line_pipeline.h"
#include "tests/unit/services/ingestion/parse_line.h"

namespace yagura::ingestion {
namespace {

struct Decoded {
  std::string text;
  bool broken = false;
};

Decoded Decode(std::string_view text, Charset charset) {
  TextArena arena;
  CharsetDecoder decoder;
  Decoded decoded;
  decoded.text = decoder.ToUtf8(text, charset, arena, &decoded.broken);
  return decoded;
}

TEST(CharsetTest, NamesAreThoseOfSources) {
  EXPECT_EQ(FindCharset(""), Charset::kUtf8);
  EXPECT_EQ(FindCharset("utf-8"), Charset::kUtf8);
  EXPECT_EQ(FindCharset("shift_jis"), Charset::kShiftJis);
  EXPECT_EQ(FindCharset("euc-jp"), Charset::kEucJp);
  EXPECT_EQ(FindCharset("iso-8859-1"), Charset::kLatin1);
  EXPECT_EQ(FindCharset("ebcdic"), std::nullopt);
}

TEST(CharsetTest, EachSetIsReadAsUtf8) {
  // "表示" has a backslash as a second byte in Shift_JIS; "①" and "髙" are of Windows alone.
  EXPECT_EQ(Decode("a=\"\x95\x5c\x8e\xa6\" \x87\x40\xfb\xfc \xb1", Charset::kShiftJis).text,
            "a=\"表示\" ①髙 ｱ");
  EXPECT_EQ(Decode("\xc9\xbd\xbc\xa8 \xad\xa1", Charset::kEucJp).text, "表示 ①");
  EXPECT_EQ(Decode("caf\xe9 \xa3", Charset::kLatin1).text, "café £");
  EXPECT_EQ(Decode("表示 \xff", Charset::kUtf8).text, "表示 \xff") << "taken as it is";
}

TEST(CharsetTest, AsciiIsNotCopied) {
  const std::string_view line = "path=C:\\temp ~";
  TextArena arena;
  CharsetDecoder decoder;
  bool broken = false;
  EXPECT_EQ(decoder.ToUtf8(line, Charset::kShiftJis, arena, &broken).data(), line.data());
  EXPECT_FALSE(broken);
}

TEST(CharsetTest, WhatIsNoCharacterIsReplacedAndTold) {
  const Decoded lone = Decode("a \xfd b \x95\x5c", Charset::kShiftJis);
  EXPECT_EQ(lone.text, "a \xef\xbf\xbd b 表");
  EXPECT_TRUE(lone.broken);
  const Decoded cut = Decode("\x95\x5c\x8e", Charset::kShiftJis);
  EXPECT_EQ(cut.text, "表\xef\xbf\xbd");
  EXPECT_TRUE(cut.broken);
  std::string all;
  for (int i = 0; i < 70'000; ++i) all.push_back(static_cast<char>(i * 7 % 256));
  for (const Charset charset : {Charset::kShiftJis, Charset::kEucJp, Charset::kLatin1}) {
    const std::string text = Decode(all, charset).text;
    EXPECT_GE(text.size(), all.size() / 2);
    EXPECT_LE(text.size(), all.size() * 3);
  }
}

TEST(CharsetTest, AnEventKeepsTheBytesOfItsLineAndReadsItAsUtf8) {
  const std::string line =
      "date=2026-11-21 time=09:15:42 devname=\"fw\" devid=\"FGT60FTK00000001\" logid=\"1\" "
      "type=\"event\" msg=\"\x95\x5c\" user=\"\x8e\xa6\"";
  LinePipeline pipeline(nullptr);
  LineContext context;
  context.receive_time = At("2026-11-21T00:15:45Z");
  context.charset = Charset::kShiftJis;
  event::v1::Event event;
  event::ToProto(pipeline.Process(line, context).event, &event);
  EXPECT_EQ(event.raw(), line);
  EXPECT_EQ(FieldOf(event, "msg"), "表");
  EXPECT_EQ(FieldOf(event, "user"), "示");
  EXPECT_FALSE(HasFlaw(event, event::v1::PARTLY_PARSED));
  const std::string torn = line + " x=\"\xfd\"";
  event.Clear();
  event::ToProto(pipeline.Process(torn, context).event, &event);
  EXPECT_EQ(FieldOf(event, "msg"), "表");
  EXPECT_TRUE(HasFlaw(event, event::v1::PARTLY_PARSED));
}

TEST(CharsetTest, BytesThatAreNoUtf8AreToldWhereTheSourceNamesNoOtherSet) {
  const std::string line = "<13>Nov 21 09:15:42 pc1 app: user=\x8e\xa6";
  const auto broken = ParseLine(line);
  EXPECT_TRUE(HasFlaw(broken, event::v1::PARTLY_PARSED));
  EXPECT_EQ(broken.raw(), line);
  EXPECT_FALSE(
      HasFlaw(ParseLine("<13>Nov 21 09:15:42 pc1 app: user=示"), event::v1::PARTLY_PARSED));
  // A character that only the cut tore is no sign of another set.
  LinePipeline pipeline(nullptr);
  LineContext context;
  context.receive_time = At("2026-11-21T00:15:45Z");
  context.truncated = true;
  const std::string cut = "<13>Nov 21 09:15:42 pc1 app: user=\xe7\xa4";
  event::v1::Event event;
  event::ToProto(pipeline.Process(cut, context).event, &event);
  EXPECT_TRUE(HasFlaw(event, event::v1::TRUNCATED));
  EXPECT_FALSE(HasFlaw(event, event::v1::PARTLY_PARSED));
}

}  // namespace
}  // namespace yagura::ingestion
