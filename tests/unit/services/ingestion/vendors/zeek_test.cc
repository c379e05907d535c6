#include "gtest/gtest.h"

#include "services/ingestion/domain/sender_memory.h"
#include "tests/unit/services/ingestion/vendors/core_text.h"

namespace yagura::ingestion {
namespace {

namespace v1 = event::v1;

// The lines of one sender, one after the other.
class ZeekTest : public ::testing::Test {
 protected:
  v1::Event Read(std::string_view line) {
    LineContext context;
    context.receive_time = At("2026-11-21T00:15:45Z");
    context.likely = &likely_;
    context.memory = &memory_;
    v1::Event event;
    event::ToProto(pipeline_.Process(line, context).event, &event);
    return event;
  }
  void ReadHead(std::string_view path, std::string_view fields, std::string_view types,
                std::string_view header = {}) {
    const std::string h(header);
    for (const std::string& line :
         {h + "#separator \\x09", h + "#set_separator\t,", h + "#empty_field\t(empty)",
          h + "#unset_field\t-", h + "#path\t" + std::string(path),
          h + "#open\t2026-11-21-09-00-00", h + "#fields\t" + std::string(fields),
          h + "#types\t" + std::string(types)}) {
      const v1::Event event = Read(line);
      EXPECT_EQ(event.product(), "zeek.zeek") << line;
      EXPECT_EQ(event.category(), "head") << line;
    }
  }

  LinePipeline pipeline_{ShippedParsers()};
  Parser* likely_ = nullptr;
  SenderMemory memory_;
};

constexpr std::string_view kConnFields =
    "ts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tservice\torig_bytes\tresp_bytes\t"
    "tunnel_parents";
constexpr std::string_view kConnTypes =
    "time\tstring\taddr\tport\taddr\tport\tenum\tstring\tcount\tcount\tset[string]";
constexpr std::string_view kConn =
    "1795220142.500000\tC6MsTn3dRb1pzVdrZd\t10.1.0.5\t51515\t198.51.100.7\t443\ttcp\tssl\t1200\t"
    "-\tCa1,Cb2";

TEST_F(ZeekTest, ATablesHeadNamesItsColumns) {
  ReadHead("conn", kConnFields, kConnTypes);
  const v1::Event event = Read(kConn);
  EXPECT_EQ(CoreText(event),
            "zeek.zeek category=conn src=[10.1.0.5:51515] dst=[198.51.100.7:443] protocol=tcp "
            "app=ssl out=1200 session=C6MsTn3dRb1pzVdrZd at 2026-11-21T00:15:42.5Z");
  EXPECT_EQ(FieldOf(event, "id.orig_h"), "10.1.0.5");
  EXPECT_EQ(FieldOf(event, "resp_bytes"), "(absent)");
  EXPECT_EQ(event.fields_size(), 11);  // ten values, of which one is a set of two
}

TEST_F(ZeekTest, WithoutAHeadTheEventSaysSo) {
  const v1::Event event = Read(kConn);
  EXPECT_EQ(CoreText(event), "zeek.zeek at 2026-11-21T00:15:42.5Z PARTLY_PARSED");
  EXPECT_EQ(event.parse_error(), "no #fields line that names so many columns came before");
  EXPECT_EQ(FieldOf(event, "column_3"), "10.1.0.5");
}

TEST_F(ZeekTest, StreamsOfOneSenderAreKeptApart) {
  const std::string conn = "<13>Nov 21 09:15:44 zeek1 conn: ";
  const std::string dns = "<13>Nov 21 09:15:44 zeek1 dns: ";
  ReadHead("conn", kConnFields, kConnTypes, conn);
  ReadHead(
      "dns",
      "ts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tquery\tanswers\tTTLs\trejected",
      "time\tstring\taddr\tport\taddr\tport\tenum\tstring\tvector[string]\tvector[interval]\tbool",
      dns);
  EXPECT_EQ(Read(conn + std::string(kConn)).category(), "conn");
  const v1::Event event =
      Read(dns +
           "1795220142.100000\tCx7wqE2jHdBvrYkYy1\t10.1.0.5\t5353\t10.1.0.53\t53\tudp\t"
           "www.example.com\t(empty)\t60.000000,30.000000\tF");
  EXPECT_EQ(CoreText(event),
            "zeek.zeek category=dns severity=LOW src=[10.1.0.5:5353] dst=[10.1.0.53:53] "
            "protocol=udp url=www.example.com session=Cx7wqE2jHdBvrYkYy1 program=dns host=zeek1 at "
            "2026-11-21T00:15:42.1Z");
  EXPECT_EQ(FieldOf(event, "answers"), "");
  EXPECT_EQ(FieldOf(event, "TTLs"), "60.000000");
}

TEST_F(ZeekTest, ALaterHeadReplacesAnEarlier) {
  ReadHead("weird", "ts\tuid\tname", "time\tstring\tstring");
  ReadHead("weird", "ts\tname\tpeer", "time\tstring\tstring");
  const v1::Event event = Read("1795220142.500000\tbad_TCP_checksum\tworker-1");
  EXPECT_EQ(FieldOf(event, "name"), "bad_TCP_checksum");
  EXPECT_EQ(FieldOf(event, "peer"), "worker-1");
  EXPECT_EQ(event.category(), "weird");
}

TEST_F(ZeekTest, EscapesAreTheBytesThatTheyStandFor) {
  ReadHead("http", "ts\tuid\tid.orig_h\thost\turi\tuser_agent",
           "time\tstring\taddr\tstring\tstring\tstring");
  const v1::Event event =
      Read("1795220142.500000\tC6MsTn3dRb1pzVdrZd\t10.1.0.5\twww.example.com\t/a\\x09b\tx\\x5c");
  EXPECT_EQ(FieldOf(event, "uri"), "/a\tb");
  EXPECT_EQ(FieldOf(event, "user_agent"), "x\\");
}

TEST_F(ZeekTest, AHeadWithoutEndIsNotRemembered) {
  std::string fields = "#fields";
  for (int i = 0; i < 600; ++i) fields += "\tc";
  const v1::Event event = Read(fields);
  EXPECT_TRUE(HasFlaw(event, v1::PARTLY_PARSED));
  for (int i = 0; i < 100; ++i) {
    Read("#separator \\x09");
    Read("#path\tp" + std::to_string(i));
    Read("#fields\tts\tuid\tname" + std::to_string(i));
  }
  EXPECT_EQ(Read("1795220142.500000\tC6MsTn3dRb1pzVdrZd\tx").category(), "p99");
}

}  // namespace
}  // namespace yagura::ingestion
