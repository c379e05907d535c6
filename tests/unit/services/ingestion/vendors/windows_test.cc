// Windows events however they come: every way must end in the same names and the same core.
#include "gtest/gtest.h"

#include "tests/unit/services/ingestion/vendors/core_text.h"

namespace yagura::ingestion {
namespace {

namespace v1 = event::v1;

constexpr std::string_view kFailedLogon =
    "microsoft.windows category=security severity=INFORMATIONAL action=LOGON_FAILED "
    "src=[192.0.2.7:50122 host PC7] user=alice host=dc1.example.com id=4625 at "
    "2026-11-21T00:15:42.5Z";

void ExpectFailedLogonFields(const v1::Event& event) {
  EXPECT_EQ(FieldOf(event, "EventID"), "4625");
  EXPECT_EQ(FieldOf(event, "Channel"), "Security");
  EXPECT_EQ(FieldOf(event, "Computer"), "dc1.example.com");
  EXPECT_EQ(FieldOf(event, "Provider_Name"), "Microsoft-Windows-Security-Auditing");
  EXPECT_EQ(FieldOf(event, "TargetUserName"), "alice");
  EXPECT_EQ(FieldOf(event, "LogonType"), "3");
  EXPECT_EQ(FieldOf(event, "SubjectUserName"), "-");
}

TEST(WindowsTest, AnEvtxDumpIsUnwrapped) {
  const std::string_view line =
      R"({"Event":{"#attributes":{"xmlns":"http://schemas.microsoft.com/win/2004/08/events/event"},"System":{"Provider":{"#attributes":{"Name":"Microsoft-Windows-Security-Auditing","Guid":"54849625-5478-4994-A5BA-3E3B0328C30D"}},"EventID":4625,"Level":0,"Task":12544,"Keywords":"0x8010000000000000","TimeCreated":{"#attributes":{"SystemTime":"2026-11-21T00:15:42.500000Z"}},"EventRecordID":812,"Execution":{"#attributes":{"ProcessID":700,"ThreadID":712}},"Channel":"Security","Computer":"dc1.example.com","Security":null},"EventData":{"SubjectUserName":"-","TargetUserName":"alice","LogonType":3,"WorkstationName":"PC7","IpAddress":"192.0.2.7","IpPort":"50122"}}})";
  const v1::Event event = ParseLine(line);
  std::string expected(kFailedLogon);
  expected.erase(expected.find(" severity=INFORMATIONAL"), 23);  // level 0 says nothing
  EXPECT_EQ(CoreText(event), expected);
  ExpectFailedLogonFields(event);
  EXPECT_EQ(FieldOf(event, "Execution.ProcessID"), "700");
}

TEST(WindowsTest, AnXmlDumpMadeJsonIsUnwrapped) {
  const v1::Event event = ParseLine(
      R"({"Event":{"@xmlns":"http://schemas.microsoft.com/win/2004/08/events/event","System":{"Provider":{"@Name":"Microsoft-Windows-Security-Auditing"},"EventID":{"@Qualifiers":"","#text":"4625"},"Level":"4","TimeCreated":{"@SystemTime":"2026-11-21 00:15:42.500000Z"},"Channel":"Security","Computer":"dc1.example.com"},"EventData":{"Data":[{"@Name":"SubjectUserName","#text":"-"},{"@Name":"TargetUserName","#text":"alice"},{"@Name":"Empty"},{"@Name":"LogonType","#text":"3"},{"@Name":"WorkstationName","#text":"PC7"},{"@Name":"IpAddress","#text":"::ffff:192.0.2.7"},{"@Name":"IpPort","#text":"50122"}]}}})");
  EXPECT_EQ(CoreText(event), kFailedLogon);
  ExpectFailedLogonFields(event);
  EXPECT_EQ(FieldOf(event, "Empty"), "");
}

TEST(WindowsTest, WinlogbeatsWrappingIsTakenOff) {
  const v1::Event event = ParseLine(
      R"({"@timestamp":"2026-11-21T00:15:42.500Z","agent":{"type":"winlogbeat"},"event":{"code":"4625","kind":"event"},"host":{"name":"dc1.example.com"},"log":{"level":"information"},"message":"An account failed to log on.","winlog":{"api":"wineventlog","channel":"Security","computer_name":"dc1.example.com","event_id":"4625","provider_name":"Microsoft-Windows-Security-Auditing","event_data":{"SubjectUserName":"-","TargetUserName":"alice","LogonType":"3","WorkstationName":"PC7","IpAddress":"192.0.2.7","IpPort":"50122"}}})");
  EXPECT_EQ(CoreText(event), kFailedLogon);
  ExpectFailedLogonFields(event);
  EXPECT_EQ(FieldOf(event, "winlog.api"), "wineventlog");
  EXPECT_EQ(FieldOf(event, "agent.type"), "winlogbeat");
}

TEST(WindowsTest, NxlogIsFlatAlready) {
  const v1::Event event = ParseLine(
      R"({"EventTime":"2026-11-21 09:15:42.5","Hostname":"dc1.example.com","Keywords":-9218868437227405312,"EventType":"AUDIT_FAILURE","SeverityValue":2,"Severity":"INFO","EventID":4625,"SourceName":"Microsoft-Windows-Security-Auditing","ProviderGuid":"{54849625-5478-4994-A5BA-3E3B0328C30D}","Channel":"Security","SubjectUserName":"-","TargetUserName":"alice","LogonType":"3","WorkstationName":"PC7","IpAddress":"192.0.2.7","IpPort":"50122","EventReceivedTime":"2026-11-21 09:15:43"})");
  EXPECT_EQ(CoreText(event), kFailedLogon);
  EXPECT_EQ(FieldOf(event, "EventType"), "AUDIT_FAILURE");
}

TEST(WindowsTest, TheBestOfItsTimesCountsInWhicheverOrderTheyStand) {
  // NXLog's EventTime is that of the host's clock, without its zone.
  const std::string local = R"("EventTime":"2026-11-21 05:15:42")";
  const std::string zoned = R"("@timestamp":"2026-11-21T00:15:42.759Z")";
  const std::string sysmon = R"("UtcTime":"2026-11-21 00:15:42.237")";
  const auto time_of = [](const std::string& times) {
    return EventTime(
        ParseLine("{" + times + R"(,"EventID":1,"Channel":"Microsoft-Windows-Sysmon/Operational"})",
                  "2026-11-21T00:15:45Z", "America/New_York"));
  };
  EXPECT_EQ(time_of(local), "2026-11-21T10:15:42Z");
  for (const auto& [one, other] :
       Pairs{{local, zoned}, {sysmon, zoned}, {local + "," + sysmon, zoned}}) {
    EXPECT_EQ(time_of(one + "," + other), "2026-11-21T00:15:42.759Z");
    EXPECT_EQ(time_of(other + "," + one), "2026-11-21T00:15:42.759Z");
  }
  EXPECT_EQ(time_of(local + "," + sysmon), "2026-11-21T00:15:42.237Z");
  EXPECT_EQ(time_of(sysmon + "," + local), "2026-11-21T00:15:42.237Z");
  EXPECT_EQ(time_of(local + R"(,"UtcTime":"-")"), "2026-11-21T10:15:42Z");
}

TEST(WindowsTest, ActionsAreKnownHoweverTheChannelIsWritten) {
  for (const char* channel : {"Security", "security", "SECURITY"}) {
    const v1::Event event =
        ParseLine(std::string(R"({"EventID":4625,"Channel":")") + channel + "\"}");
    EXPECT_EQ(event.action(), v1::LOGON_FAILED) << channel;
    EXPECT_EQ(event.category(), "security");
  }
}

TEST(WindowsTest, XmlIsReadAsItIs) {
  const v1::Event event = ParseLine(
      R"(<14>Nov 21 09:15:44 collector1 <Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System><Provider Name='Microsoft-Windows-Security-Auditing' Guid='{54849625-5478-4994-a5ba-3e3b0328c30d}'/><EventID>4625</EventID><Level>4</Level><TimeCreated SystemTime='2026-11-21T00:15:42.500000000Z'/><EventRecordID>812</EventRecordID><Correlation/><Execution ProcessID='700' ThreadID='712'/><Channel>Security</Channel><Computer>dc1.example.com</Computer><Security/></System><EventData><Data Name='SubjectUserName'>-</Data><Data Name='TargetUserName'>alice</Data><Data Name="LogonType">3</Data><Data Name='WorkstationName'>PC7</Data><Data Name='IpAddress'>192.0.2.7</Data><Data Name='IpPort'>50122</Data><Data Name='ProcessName'></Data><Data Name='Text'>a &lt;b&gt; &amp; &#x65e5;&#26412;</Data></EventData><RenderingInfo Culture='ja-JP'><Message>An account failed to log on.</Message><Level>Information</Level></RenderingInfo></Event>)");
  EXPECT_EQ(CoreText(event), kFailedLogon);
  ExpectFailedLogonFields(event);
  EXPECT_EQ(event.message(), "An account failed to log on.");
  EXPECT_EQ(FieldOf(event, "Text"), "a <b> & 日本");
  EXPECT_EQ(FieldOf(event, "ProcessName"), "");
  EXPECT_EQ(FieldOf(event, "Execution.ThreadID"), "712");
  EXPECT_EQ(FieldOf(event, "RenderingInfo.Level"), "Information");
}

TEST(WindowsTest, XmlOfAUsersEventHasItsFields) {
  const v1::Event event = ParseLine(
      R"(<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System><Provider Name='Microsoft-Windows-Eventlog'/><EventID Qualifiers='0'>1102</EventID><TimeCreated SystemTime='2026-11-21T00:15:42Z'/><Channel>Security</Channel><Computer>pc1</Computer></System><UserData><LogFileCleared xmlns='http://manifests.microsoft.com/win/2004/08/windows/eventlog'><SubjectUserName>alice</SubjectUserName></LogFileCleared></UserData></Event>)");
  EXPECT_EQ(CoreText(event),
            "microsoft.windows category=security action=CHANGED user=alice host=pc1 id=1102 at "
            "2026-11-21T00:15:42Z");
  EXPECT_EQ(FieldOf(event, "SubjectUserName"), "alice");
  EXPECT_EQ(FieldOf(event, "EventID.Qualifiers"), "0");
}

TEST(WindowsTest, BrokenXmlKeepsWhatCameBefore) {
  for (const char* line :
       {"<Event><System><EventID>4625</EventID></Wrong></System></Event>",
        "<Event><System><EventID>4625</EventID>", "<Event><System><EventID>4625</EventID><a b></a>",
        "<Event><System><EventID>4625</EventID></System></Event>more"}) {
    const v1::Event event = ParseLine(line);
    EXPECT_EQ(event.vendor_event_id(), "4625") << line;
    EXPECT_TRUE(HasFlaw(event, v1::PARTLY_PARSED)) << line;
  }
  // A document type is refused before anything of it is read.
  const v1::Event bomb =
      ParseLine("<!DOCTYPE x [<!ENTITY a \"aa\">]><Event><System></System></Event>",
                "2026-11-21T00:15:45Z", "", "windows_xml");
  EXPECT_EQ(bomb.parse_error(), "a document type is not read");
}

TEST(WindowsTest, SnaresTextIsTakenApart) {
  const v1::Event event = ParseLine(
      "<14>Nov 21 09:15:44 dc1.example.com MSWinEventLog\t1\tSecurity\t812\tSat Nov 21 09:15:42 "
      "2026\t4625\tMicrosoft-Windows-Security-Auditing\tCORP\\alice\tN/A\tFailure "
      "Audit\tdc1.example.com\tLogon\t\tAn account failed to log on.    Subject:   Security ID:  "
      "S-1-0-0   Account Name:  -   Logon Type:   3    Account For Which Logon Failed:   Security "
      "ID:  S-1-0-0   Account Name:  alice   Account Domain:  CORP    Failure Information:   "
      "Status:   0xC000006D    Network Information:   Workstation Name: PC7   Source Network "
      "Address: 192.0.2.7   Source Port:  50122\t4711");
  EXPECT_EQ(CoreText(event),
            "microsoft.windows category=security severity=INFORMATIONAL action=LOGON_FAILED "
            "src=[192.0.2.7:50122 host PC7] user=alice host=dc1.example.com id=4625 at "
            "2026-11-21T00:15:42Z");
  EXPECT_EQ(FieldOf(event, "SubjectUserName"), "-");
  EXPECT_EQ(FieldOf(event, "TargetDomainName"), "CORP");
  EXPECT_EQ(FieldOf(event, "LogonType"), "3");
  EXPECT_EQ(FieldOf(event, "EventType"), "Failure Audit");
  EXPECT_EQ(FieldOf(event, "SnareEventCounter"), "4711");
}

TEST(WindowsTest, SnaresTabsMayBeEscapedByARelay) {
  EXPECT_EQ(
      CoreOf("<14>Nov 21 09:15:44 pc1 MSWinEventLog#0111#011System#0119#011Sat Nov 21 "
             "09:15:42 2026#0117036#011Service Control Manager#011N/A#011N/A#011Information#"
             "011pc1#011None#011#011The Print Spooler service entered the stopped state.#0114"),
      "microsoft.windows category=system severity=INFORMATIONAL host=pc1 id=7036 at "
      "2026-11-21T00:15:42Z");
}

TEST(WindowsTest, ADashIsNoHost) {
  const v1::Event event = ParseLine(
      R"({"EventID":4625,"Channel":"Security","Computer":"dc1","TargetUserName":"bob","WorkstationName":"-"})");
  EXPECT_EQ(event.src().host(), "");
  EXPECT_EQ(FieldOf(event, "WorkstationName"), "-");
}

TEST(WindowsTest, WhatOtherApplicationsCallSystemStaysAsItIs) {
  const v1::Event event = ParseLine(R"({"System":{"Load":"0.5"},"EventData":{"a":"b"}})");
  EXPECT_EQ(event.product(), "generic.json");
  EXPECT_EQ(FieldOf(event, "System.Load"), "0.5");
}

}  // namespace
}  // namespace yagura::ingestion
