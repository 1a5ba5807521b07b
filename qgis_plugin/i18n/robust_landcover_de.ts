<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="de">
  <context>
    <name>Algorithm</name>
    <message>
      <source>Mapping</source>
      <translation>Kartierung</translation>
    </message>
    <message>
      <source>land cover,classification,deep learning,onnx,multimodal,missing,sensor,segmentation</source>
      <translation>Landbedeckung,Klassifikation,Deep Learning,ONNX,multimodal,fehlend,Sensor,Segmentierung</translation>
    </message>
    <message>
      <source>Set up the engine</source>
      <translation>Engine einrichten</translation>
    </message>
    <message>
      <source>Model</source>
      <translation>Modell</translation>
    </message>
    <message>
      <source>An .onnx file that “engine export” wrote.</source>
      <translation>Eine .onnx-Datei, die „engine export“ geschrieben hat.</translation>
    </message>
    <message>
      <source>Layers (none: all rasters of the project that fit)</source>
      <translation>Layer (keine: alle passenden Raster des Projekts)</translation>
    </message>
    <message>
      <source>The rasters to map from; none chosen means all rasters of the project that fit.</source>
      <translation>Die Raster, aus denen kartiert wird; ohne Auswahl alle passenden Raster des Projekts.</translation>
    </message>
    <message>
      <source>Layer {} cannot be read: {} does not exist or is no raster</source>
      <translation>Layer {} kann nicht gelesen werden: {} existiert nicht oder ist kein Raster</translation>
    </message>
    <message>
      <source>{}: the nodata value or coordinate reference system set in QGIS is not used; the file's is</source>
      <translation>{}: Nodatawert oder Koordinatensystem aus QGIS werden nicht benutzt, sondern die der Datei</translation>
    </message>
    <message>
      <source>{}; it is left out</source>
      <translation>{}; er wird ausgelassen</translation>
    </message>
  </context>
  <context>
    <name>Area</name>
    <message>
      <source>{}: there are no polygons; choose a layer that has, or select some</source>
      <translation>{}: Es gibt keine Polygone; wählen Sie einen Layer, der welche hat, oder wählen Sie welche aus</translation>
    </message>
    <message>
      <source>the polygons cannot be written to {}: {}</source>
      <translation>die Polygone können nicht nach {} geschrieben werden: {}</translation>
    </message>
  </context>
  <context>
    <name>Change</name>
    <message>
      <source>Change between two class maps</source>
      <translation>Änderung zwischen zwei Klassenkarten</translation>
    </message>
    <message>
      <source>Finds from what to what a map has changed, and where other sensors may be the cause.</source>
      <translation>Findet heraus, wovon wozu sich eine Karte geändert hat, und wo andere Sensoren die Ursache sein können.</translation>
    </message>
    <message>
      <source>Compares two class maps that lie on one grid: map the second date with the first map as “Grid of a layer”.

A pixel's code is from-class and to-class side by side: 405 is from 4 to 5. Where availabilities are given, pixels that were mapped from other sensors than before have a 1 in front (10405), a paler colour, and columns of their own in the table: such a change may be the sensors', not the land's.</source>
      <translation>Vergleicht zwei Klassenkarten, die auf demselben Raster liegen: Kartieren Sie den zweiten Zeitpunkt mit der ersten Karte als „Raster eines Layers“.

Der Code eines Pixels besteht aus vorheriger und neuer Klasse nebeneinander: 405 ist von 4 nach 5. Sind Verfügbarkeiten angegeben, haben Pixel, die aus anderen Sensoren als vorher kartiert wurden, eine 1 davor (10405), eine blassere Farbe und eigene Spalten in der Tabelle: Eine solche Änderung kann an den Sensoren liegen statt am Land.</translation>
    </message>
    <message>
      <source>First class map</source>
      <translation>Erste Klassenkarte</translation>
    </message>
    <message>
      <source>The map of the first date.</source>
      <translation>Die Karte des ersten Zeitpunkts.</translation>
    </message>
    <message>
      <source>Second class map</source>
      <translation>Zweite Klassenkarte</translation>
    </message>
    <message>
      <source>The map of the second date, on the grid of the first one.</source>
      <translation>Die Karte des zweiten Zeitpunkts, auf dem Raster der ersten.</translation>
    </message>
    <message>
      <source>Availability of the first map</source>
      <translation>Verfügbarkeit der ersten Karte</translation>
    </message>
    <message>
      <source>Availability of the second map</source>
      <translation>Verfügbarkeit der zweiten Karte</translation>
    </message>
    <message>
      <source>Which sensors the map's pixels had; both or none.</source>
      <translation>Welche Sensoren die Pixel der Karte hatten; beide oder keine.</translation>
    </message>
    <message>
      <source>Changes</source>
      <translation>Änderungen</translation>
    </message>
    <message>
      <source>From-to codes with a legend: grey where nothing has changed, else the colour of what it is now.</source>
      <translation>Von-nach-Codes mit einer Legende: grau, wo sich nichts geändert hat, sonst die Farbe dessen, was es jetzt ist.</translation>
    </message>
    <message>
      <source>Table of changes</source>
      <translation>Tabelle der Änderungen</translation>
    </message>
    <message>
      <source>From what to what, in pixels and hectares, a CSV file.</source>
      <translation>Wovon wozu, in Pixeln und Hektar, eine CSV-Datei.</translation>
    </message>
    <message>
      <source>Percent changed</source>
      <translation>Geändert (Prozent)</translation>
    </message>
    <message>
      <source>Hectares changed</source>
      <translation>Geändert (Hektar)</translation>
    </message>
    <message>
      <source>Percent mapped from other sensors</source>
      <translation>Aus anderen Sensoren kartiert (Prozent)</translation>
    </message>
    <message>
      <source>{changed:.2%} of {pixels} pixels have changed</source>
      <translation>{changed:.2%} von {pixels} Pixeln haben sich geändert</translation>
    </message>
    <message>
      <source>{other_sensors:.2%} were mapped from other sensors than before</source>
      <translation>{other_sensors:.2%} wurden aus anderen Sensoren als vorher kartiert</translation>
    </message>
    <message>
      <source>{one_map} pixels have a class in one map alone</source>
      <translation>{one_map} Pixel haben nur in einer der Karten eine Klasse</translation>
    </message>
  </context>
  <context>
    <name>EngineWindow</name>
    <message>
      <source>Nothing is installed before you press the button.</source>
      <translation>Nichts wird installiert, bevor Sie den Knopf drücken.</translation>
    </message>
    <message>
      <source>The engine gets an environment of its own from it; it stays as it is itself.</source>
      <translation>Die Engine bekommt daraus eine eigene Umgebung; es selbst bleibt, wie es ist.</translation>
    </message>
    <message>
      <source>Other…</source>
      <translation>Anderes …</translation>
    </message>
    <message>
      <source>Python</source>
      <translation>Python</translation>
    </message>
    <message>
      <source>CPU</source>
      <translation>CPU</translation>
    </message>
    <message>
      <source>NVIDIA GPU (some gigabytes more to download)</source>
      <translation>NVIDIA-GPU (einige Gigabyte mehr zu laden)</translation>
    </message>
    <message>
      <source>Runs on</source>
      <translation>Läuft auf</translation>
    </message>
    <message>
      <source>Training too (with PyTorch, which is large)</source>
      <translation>Auch Training (mit PyTorch, das groß ist)</translation>
    </message>
    <message>
      <source>Maps</source>
      <translation>Kartiert</translation>
    </message>
    <message>
      <source>The package index</source>
      <translation>Paketindex</translation>
    </message>
    <message>
      <source>A folder of wheels</source>
      <translation>Ordner mit Wheels</translation>
    </message>
    <message>
      <source>Made by scripts/wheels.py on a computer that has a network.</source>
      <translation>Erzeugt von scripts/wheels.py auf einem Rechner mit Netz.</translation>
    </message>
    <message>
      <source>Comes from</source>
      <translation>Kommt aus</translation>
    </message>
    <message>
      <source>Advanced</source>
      <translation>Weiteres</translation>
    </message>
    <message>
      <source>PyTorch's index</source>
      <translation>Index von PyTorch</translation>
    </message>
    <message>
      <source>Cancel</source>
      <translation>Abbrechen</translation>
    </message>
    <message>
      <source>Remove</source>
      <translation>Entfernen</translation>
    </message>
    <message>
      <source>Copy diagnostics</source>
      <translation>Diagnose kopieren</translation>
    </message>
    <message>
      <source>What to paste into a report of a fault: versions, device, last log.</source>
      <translation>Zum Einfügen in eine Fehlermeldung: Versionen, Gerät, letztes Protokoll.</translation>
    </message>
    <message>
      <source>Set up the engine</source>
      <translation>Engine einrichten</translation>
    </message>
    <message>
      <source>Set up again</source>
      <translation>Neu einrichten</translation>
    </message>
    <message>
      <source>Update the engine</source>
      <translation>Engine aktualisieren</translation>
    </message>
    <message>
      <source>Looking for Pythons…</source>
      <translation>Suche nach Python …</translation>
    </message>
    <message>
      <source>{} is no Python that the engine can be made with.</source>
      <translation>{} ist kein Python, mit dem die Engine eingerichtet werden kann.</translation>
    </message>
    <message>
      <source>none found; install Python 3.11 or newer, or choose one</source>
      <translation>keines gefunden; installieren Sie Python ab 3.11, oder wählen Sie eines</translation>
    </message>
    <message>
      <source>A Python from 3.10</source>
      <translation>Ein Python ab 3.10</translation>
    </message>
    <message>
      <source>Choose the folder of wheels.</source>
      <translation>Wählen Sie den Ordner mit Wheels.</translation>
    </message>
    <message>
      <source>The engine is set up.</source>
      <translation>Die Engine ist eingerichtet.</translation>
    </message>
    <message>
      <source>Remove the engine</source>
      <translation>Engine entfernen</translation>
    </message>
    <message>
      <source>Remove the engine from {}?</source>
      <translation>Engine aus {} entfernen?</translation>
    </message>
    <message>
      <source>The engine is removed.</source>
      <translation>Die Engine ist entfernt.</translation>
    </message>
    <message>
      <source>The engine is at work; wait until the map is made, or cancel it.</source>
      <translation>Die Engine arbeitet gerade; warten Sie, bis die Karte fertig ist, oder brechen Sie sie ab.</translation>
    </message>
    <message>
      <source>{} ({:.0f} s)</source>
      <translation>{} ({:.0f} s)</translation>
    </message>
    <message>
      <source>Cancelling…</source>
      <translation>Wird abgebrochen …</translation>
    </message>
    <message>
      <source>Copied; paste it into your report.</source>
      <translation>Kopiert; fügen Sie es in Ihre Meldung ein.</translation>
    </message>
    <message>
      <source>Robust land cover: the engine</source>
      <translation>Robust land cover: die Engine</translation>
    </message>
    <message>
      <source>Set up the engine…</source>
      <translation>Engine einrichten …</translation>
    </message>
    <message>
      <source>Robust land cover</source>
      <translation>Robust land cover</translation>
    </message>
    <message>
      <source>The engine is ready: version {}, at {}</source>
      <translation>Die Engine ist bereit: Version {}, in {}</translation>
    </message>
    <message>
      <source>It was set up elsewhere; what is set up here is used where that is gone.</source>
      <translation>Sie wurde anderswo eingerichtet; was hier eingerichtet wird, dient erst, wenn jene fehlt.</translation>
    </message>
  </context>
  <context>
    <name>Example</name>
    <message>
      <source>SRTM elevation</source>
      <translation>SRTM-Höhen</translation>
    </message>
    <message>
      <source>Landsat 8</source>
      <translation>Landsat 8</translation>
    </message>
  </context>
  <context>
    <name>Form</name>
    <message>
      <source>Sensors</source>
      <translation>Sensoren</translation>
    </message>
    <message>
      <source>found out, or modality=layer@bands;...</source>
      <translation>wird ermittelt, oder Modalität=Layer@Kanäle;...</translation>
    </message>
    <message>
      <source>Layers are named by their sensors: {}</source>
      <translation>Layer sind nach ihren Sensoren genannt: {}</translation>
    </message>
    <message>
      <source>Looking at model and layers…</source>
      <translation>Modell und Layer werden angesehen …</translation>
    </message>
    <message>
      <source>No layer serves any sensor of the model; choose one.</source>
      <translation>Kein Layer dient einem Sensor des Modells; wählen Sie einen.</translation>
    </message>
    <message>
      <source>From {}; how well was not measured.</source>
      <translation>Aus {}; wie gut, wurde nicht gemessen.</translation>
    </message>
    <message>
      <source>From {}: expected mIoU {:.2f}</source>
      <translation>Aus {}: erwartete mIoU {:.2f}</translation>
    </message>
    <message>
      <source>— hardly better than guessing ({:.2f})</source>
      <translation>— kaum besser als geraten ({:.2f})</translation>
    </message>
    <message>
      <source>none</source>
      <translation>keine</translation>
    </message>
    <message>
      <source>IoU by class: {}</source>
      <translation>IoU nach Klassen: {}</translation>
    </message>
    <message>
      <source>{} does not have the engine.</source>
      <translation>{} hat die Engine nicht.</translation>
    </message>
    <message>
      <source>The engine does not answer:
{}</source>
      <translation>Die Engine antwortet nicht:
{}</translation>
    </message>
  </context>
  <context>
    <name>Installation</name>
    <message>
      <source>Another QGIS is setting up the engine; wait until it is through.</source>
      <translation>Ein anderes QGIS richtet die Engine gerade ein; warten Sie, bis es fertig ist.</translation>
    </message>
    <message>
      <source>Looking at Python</source>
      <translation>Python wird angesehen</translation>
    </message>
    <message>
      <source>{} is no Python that can be used: {}</source>
      <translation>{} ist kein brauchbares Python: {}</translation>
    </message>
    <message>
      <source>{path} is Python {version}; the engine needs {oldest} or newer.</source>
      <translation>{path} ist Python {version}; die Engine braucht {oldest} oder neuer.</translation>
    </message>
    <message>
      <source>Making the environment</source>
      <translation>Umgebung wird angelegt</translation>
    </message>
    <message>
      <source>Testing the engine</source>
      <translation>Engine wird geprüft</translation>
    </message>
    <message>
      <source>The engine cannot be put into {}: {}. Is a map being made with it?</source>
      <translation>Die Engine kann nicht nach {} gebracht werden: {}. Wird gerade eine Karte damit gemacht?</translation>
    </message>
    <message>
      <source>{} cannot be removed: {}. Is a map being made with it?</source>
      <translation>{} kann nicht entfernt werden: {}. Wird gerade eine Karte damit gemacht?</translation>
    </message>
    <message>
      <source>Removing the engine</source>
      <translation>Engine wird entfernt</translation>
    </message>
    <message>
      <source>{} cannot install packages: its parts venv and ensurepip are missing. On Debian and Ubuntu, ask for the package python3-venv; else choose another Python.</source>
      <translation>{} kann keine Pakete installieren: seine Teile venv und ensurepip fehlen. Auf Debian und Ubuntu bringt sie das Paket python3-venv; sonst wählen Sie ein anderes Python.</translation>
    </message>
    <message>
      <source>Installing from the folder of wheels</source>
      <translation>Installation aus dem Ordner mit Wheels</translation>
    </message>
    <message>
      <source>Downloading and installing the engine</source>
      <translation>Engine wird geladen und installiert</translation>
    </message>
    <message>
      <source>Downloading and installing PyTorch</source>
      <translation>PyTorch wird geladen und installiert</translation>
    </message>
    <message>
      <source>The folder of wheels has no {} for this Python and system.</source>
      <translation>Der Ordner mit Wheels hat kein {} für dieses Python und System.</translation>
    </message>
    <message>
      <source>There is no package for this Python: {}</source>
      <translation>Für dieses Python gibt es kein Paket: {}</translation>
    </message>
    <message>
      <source>The disk is full.</source>
      <translation>Die Platte ist voll.</translation>
    </message>
    <message>
      <source>The proxy of QGIS's settings (Settings, Options, Network) refused or does not answer.</source>
      <translation>Der Proxy aus den Einstellungen von QGIS (Einstellungen, Optionen, Netzwerk) lehnt ab oder antwortet nicht.</translation>
    </message>
    <message>
      <source>A certificate was not trusted; where the network has one of its own, the system must know it.</source>
      <translation>Einem Zertifikat wird nicht vertraut; hat das Netz ein eigenes, muss das System es kennen.</translation>
    </message>
    <message>
      <source>The package index cannot be reached; set QGIS's proxy, or install from a folder of wheels.</source>
      <translation>Der Paketindex ist nicht erreichbar; stellen Sie den Proxy von QGIS ein, oder installieren Sie aus einem Ordner mit Wheels.</translation>
    </message>
    <message>
      <source>Files there may not be written.</source>
      <translation>Dort darf nicht geschrieben werden.</translation>
    </message>
  </context>
  <context>
    <name>Interpreter</name>
    <message>
      <source>the setting under Options, Processing</source>
      <translation>die Einstellung unter Optionen, Verarbeitung</translation>
    </message>
    <message>
      <source>the environment variable {}</source>
      <translation>die Umgebungsvariable {}</translation>
    </message>
    <message>
      <source>{where} names the interpreter {path}, which does not exist.</source>
      <translation>{where} nennt den Interpreter {path}, den es nicht gibt.</translation>
    </message>
    <message>
      <source>The engine has version {found}, this plugin version {wanted}: update it.</source>
      <translation>Die Engine hat die Version {found}, dieses Plugin die Version {wanted}: aktualisieren Sie sie.</translation>
    </message>
    <message>
      <source>The engine of {path} has version {found}, this plugin version {wanted}.</source>
      <translation>Die Engine von {path} hat die Version {found}, dieses Plugin die Version {wanted}.</translation>
    </message>
    <message>
      <source>The engine is not set up.</source>
      <translation>Die Engine ist nicht eingerichtet.</translation>
    </message>
    <message>
      <source>Set it up in QGIS under Plugins, Robust land cover, Set up the engine, or in a terminal with

{install}

Where it is installed elsewhere, name its Python interpreter under Settings, Options, Processing, Providers, Robust land cover (or in the environment variable {key}).</source>
      <translation>Richten Sie sie in QGIS unter Erweiterungen, Robust land cover, Engine einrichten ein, oder in einem Terminal mit

{install}

Ist sie anderswo installiert, nennen Sie ihren Python-Interpreter unter Einstellungen, Optionen, Verarbeitung, Anbieter, Robust land cover (oder in der Umgebungsvariablen {key}).</translation>
    </message>
  </context>
  <context>
    <name>Layers</name>
    <message>
      <source>layer {} lies outside of the extent</source>
      <translation>Layer {} liegt außerhalb der Ausdehnung</translation>
    </message>
    <message>
      <source>layer {name} ({provider}) must be copied to a file first, and would take {size:.1f} GB for this extent ({columns} x {rows} pixels); choose a smaller extent (at most {most:.0f} GB)</source>
      <translation>Layer {name} ({provider}) muss zuerst in eine Datei kopiert werden und wäre für diese Ausdehnung {size:.1f} GB groß ({columns} x {rows} Pixel); wählen Sie eine kleinere Ausdehnung (höchstens {most:.0f} GB)</translation>
    </message>
    <message>
      <source>layer {} is copied to a temporary GeoTIFF</source>
      <translation>Layer {} wird in ein temporäres GeoTIFF kopiert</translation>
    </message>
    <message>
      <source>layer {} cannot be read</source>
      <translation>Layer {} kann nicht gelesen werden</translation>
    </message>
    <message>
      <source>Cancelled while layer {} was copied; nothing was written.</source>
      <translation>Abgebrochen, während Layer {} kopiert wurde; nichts wurde geschrieben.</translation>
    </message>
    <message>
      <source>layer {} could not be read whole: {}</source>
      <translation>Layer {} konnte nicht ganz gelesen werden: {}</translation>
    </message>
    <message>
      <source>layer {} cannot be copied to {}</source>
      <translation>Layer {} kann nicht nach {} kopiert werden</translation>
    </message>
    <message>
      <source>layer {} is a web map and is left out</source>
      <translation>Layer {} ist eine Webkarte und wird ausgelassen</translation>
    </message>
    <message>
      <source>layer {} cannot be read and is left out</source>
      <translation>Layer {} kann nicht gelesen werden und wird ausgelassen</translation>
    </message>
  </context>
  <context>
    <name>MapFolder</name>
    <message>
      <source>Map every scene of a folder</source>
      <translation>Alle Szenen eines Ordners kartieren</translation>
    </message>
    <message>
      <source>Maps land cover of many scenes, each from whichever of a model's sensors it has.</source>
      <translation>Kartiert die Landbedeckung vieler Szenen, jede aus denjenigen Sensoren eines Modells, die sie hat.</translation>
    </message>
    <message>
      <source>Maps each scene of a folder: each of its subfolders or, with a pattern, what the pattern takes together. Which of its rasters is which sensor is found out for each scene, as in “Robust land-cover segmentation”.

A scene that fails is told, and the others are mapped. Scenes whose maps are there already are passed over, and one that was begun goes on: after a cancel or a crash run it again as it was.</source>
      <translation>Kartiert jede Szene eines Ordners: jeden seiner Unterordner oder, mit einem Muster, was das Muster zusammenfasst. Welches ihrer Raster welcher Sensor ist, wird für jede Szene ermittelt, wie in „Robuste Landbedeckungssegmentierung“.

Schlägt eine Szene fehl, wird sie gemeldet, und die anderen werden kartiert. Szenen, deren Karten schon da sind, werden übergangen, und eine angefangene wird fortgesetzt: Starten Sie nach einem Abbruch oder Absturz noch einmal mit denselben Angaben.</translation>
    </message>
    <message>
      <source>Scenes</source>
      <translation>Szenen</translation>
    </message>
    <message>
      <source>The folder that holds the scenes, each in a subfolder unless there is a pattern.</source>
      <translation>Der Ordner mit den Szenen, jede in einem Unterordner, wenn kein Muster angegeben ist.</translation>
    </message>
    <message>
      <source>Pattern of the scenes' files</source>
      <translation>Muster der Dateien der Szenen</translation>
    </message>
    <message>
      <source>How files are called within the folder: {scene} stands for what is the same in all files of a scene, * for anything. {scene}_*.tif takes 2024-05_optical.tif and 2024-05_sar.tif as scene 2024-05.</source>
      <translation>Wie die Dateien im Ordner heißen: {scene} steht für das, was in allen Dateien einer Szene gleich ist, * für Beliebiges. {scene}_*.tif nimmt 2024-05_optical.tif und 2024-05_sar.tif als Szene 2024-05.</translation>
    </message>
    <message>
      <source>Assignment (modality=file[@bands];...)</source>
      <translation>Zuordnung (Modalität=Datei[@Kanäle];...)</translation>
    </message>
    <message>
      <source>Which file is which sensor, the same for every scene, if that should not be found out, as in optical=optical.tif@4,3,2;dem=dem.tif. With a pattern {scene} stands for the scene's name.</source>
      <translation>Welche Datei welcher Sensor ist, gleich für alle Szenen, wenn das nicht ermittelt werden soll, wie in optical=optical.tif@4,3,2;dem=dem.tif. Mit einem Muster steht {scene} für den Namen der Szene.</translation>
    </message>
    <message>
      <source>Device</source>
      <translation>Gerät</translation>
    </message>
    <message>
      <source>Where the network runs, by name; auto takes a GPU where the engine has one that works.</source>
      <translation>Worauf das Netz läuft, als Name; auto nimmt eine GPU, wo die Engine eine hat, die arbeitet.</translation>
    </message>
    <message>
      <source>Also write confidences</source>
      <translation>Auch Konfidenzen schreiben</translation>
    </message>
    <message>
      <source>Writes SCENE_confidence.tif beside each map.</source>
      <translation>Schreibt SZENE_confidence.tif neben jede Karte.</translation>
    </message>
    <message>
      <source>Also write availabilities</source>
      <translation>Auch Verfügbarkeiten schreiben</translation>
    </message>
    <message>
      <source>Writes SCENE_availability.tif beside each map: which sensors each pixel had.</source>
      <translation>Schreibt SZENE_availability.tif neben jede Karte: welche Sensoren jedes Pixel hatte.</translation>
    </message>
    <message>
      <source>Map again what is there</source>
      <translation>Vorhandene noch einmal kartieren</translation>
    </message>
    <message>
      <source>Otherwise a scene whose map is there already is passed over.</source>
      <translation>Sonst wird eine Szene, deren Karte schon da ist, übergangen.</translation>
    </message>
    <message>
      <source>Maps</source>
      <translation>Kartiert</translation>
    </message>
    <message>
      <source>The folder of the maps, each called as its scene.</source>
      <translation>Der Ordner der Karten, jede benannt wie ihre Szene.</translation>
    </message>
    <message>
      <source>Maps that are there</source>
      <translation>Vorhandene Karten</translation>
    </message>
    <message>
      <source>Number of scenes mapped</source>
      <translation>Zahl der kartierten Szenen</translation>
    </message>
    <message>
      <source>Number of scenes that failed</source>
      <translation>Zahl der fehlgeschlagenen Szenen</translation>
    </message>
    <message>
      <source>{mapped} scenes mapped, {there} were there already, {failed} failed</source>
      <translation>{mapped} Szenen kartiert, {there} waren schon da, {failed} fehlgeschlagen</translation>
    </message>
  </context>
  <context>
    <name>Maps</name>
    <message>
      <source>Land-cover maps</source>
      <translation>Landbedeckungskarten</translation>
    </message>
    <message>
      <source>land cover,classification,map,polygon,vectorize,sieve,area,statistics,change,batch</source>
      <translation>Landbedeckung,Klassifikation,Karte,Polygon,Vektorisieren,Sieben,Fläche,Statistik,Änderung,Stapel</translation>
    </message>
    <message>
      <source>Confidence</source>
      <translation>Konfidenz</translation>
    </message>
    <message>
      <source>The confidence that was written with the map, in percent: gives means of it.</source>
      <translation>Die Konfidenz, die mit der Karte geschrieben wurde, in Prozent: ergibt Mittelwerte davon.</translation>
    </message>
    <message>
      <source>Availability</source>
      <translation>Verfügbarkeit</translation>
    </message>
    <message>
      <source>The availability that was written with the map: gives the sensors that it was made from.</source>
      <translation>Die Verfügbarkeit, die mit der Karte geschrieben wurde: ergibt die Sensoren, aus denen sie gemacht wurde.</translation>
    </message>
    <message>
      <source>{}: choose a raster that is a file; save others as GeoTIFF first</source>
      <translation>{}: Wählen Sie ein Raster, das eine Datei ist; speichern Sie andere zuerst als GeoTIFF</translation>
    </message>
    <message>
      <source>Cancelled; nothing was written.</source>
      <translation>Abgebrochen; nichts wurde geschrieben.</translation>
    </message>
    <message>
      <source>{}: give it a name that ends in {}</source>
      <translation>{}: Wählen Sie einen Namen, der auf {} endet</translation>
    </message>
  </context>
  <context>
    <name>MatchLayers</name>
    <message>
      <source>Match layers with a model</source>
      <translation>Layer mit einem Modell abgleichen</translation>
    </message>
    <message>
      <source>Says which layer would serve which of a model's sensors, and why.</source>
      <translation>Sagt, welcher Layer welchem Sensor eines Modells dienen würde, und warum.</translation>
    </message>
    <message>
      <source>Says which layer would serve which of a model's sensors, and why, without mapping anything. The output “Assignment” can be given to “Robust land-cover segmentation” as it is, or changed before.</source>
      <translation>Sagt, welcher Layer welchem Sensor eines Modells dienen würde, und warum, ohne etwas zu kartieren. Die Ausgabe „Zuordnung“ kann der „Robusten Landbedeckungssegmentierung“ so gegeben werden, wie sie ist, oder vorher geändert.</translation>
    </message>
    <message>
      <source>Assignment</source>
      <translation>Zuordnung</translation>
    </message>
    <message>
      <source>Sensors to map from</source>
      <translation>Sensoren, aus denen kartiert würde</translation>
    </message>
    <message>
      <source>Cancelled.</source>
      <translation>Abgebrochen.</translation>
    </message>
    <message>
      <source>{}: choose one: {}</source>
      <translation>{}: wählen Sie: {}</translation>
    </message>
    <message>
      <source> or </source>
      <translation> oder </translation>
    </message>
  </context>
  <context>
    <name>ModelInfo</name>
    <message>
      <source>Show a model's card</source>
      <translation>Steckbrief eines Modells zeigen</translation>
    </message>
    <message>
      <source>Says what a model maps, from which sensors, how well with each subset of them, and its licence.</source>
      <translation>Sagt, was ein Modell kartiert, aus welchen Sensoren, wie gut mit jeder Teilmenge von ihnen, und seine Lizenz.</translation>
    </message>
    <message>
      <source>Writes a page that says what a model maps, from which sensors, how well with each subset of them, what it learned from and under which licence. It opens in the results viewer.</source>
      <translation>Schreibt eine Seite, die sagt, was ein Modell kartiert, aus welchen Sensoren, wie gut mit jeder Teilmenge von ihnen, woraus es gelernt hat und unter welcher Lizenz. Sie öffnet sich in der Ergebnisanzeige.</translation>
    </message>
    <message>
      <source>Card</source>
      <translation>Steckbrief</translation>
    </message>
    <message>
      <source>HTML files (*.html)</source>
      <translation>HTML-Dateien (*.html)</translation>
    </message>
    <message>
      <source>The page, an HTML file.</source>
      <translation>Die Seite, eine HTML-Datei.</translation>
    </message>
    <message>
      <source>Name of the model</source>
      <translation>Name des Modells</translation>
    </message>
    <message>
      <source>Sensors</source>
      <translation>Sensoren</translation>
    </message>
    <message>
      <source>Number of classes</source>
      <translation>Zahl der Klassen</translation>
    </message>
    <message>
      <source>Cancelled.</source>
      <translation>Abgebrochen.</translation>
    </message>
  </context>
  <context>
    <name>Options</name>
    <message>
      <source>Groups of classes (group=class,class;...)</source>
      <translation>Gruppen von Klassen (Gruppe=Klasse,Klasse;...)</translation>
    </message>
    <message>
      <source>Classes that are mapped as one, by name or value, as in vegetation=forest,shrubland;built=22,23,24, or with a colour: vegetation:#1c6330=forest,shrubland. Their probabilities are added up. A group has the lowest value of its classes, and that one's colour unless it is given one; what is in no group stays as it is. Names stand in double quotes where they hold one of ; = , and quotes.</source>
      <translation>Klassen, die als eine kartiert werden, nach Name oder Wert, wie in vegetation=forest,shrubland;built=22,23,24, oder mit einer Farbe: vegetation:#1c6330=forest,shrubland. Ihre Wahrscheinlichkeiten werden addiert. Eine Gruppe hat den niedrigsten Wert ihrer Klassen und dessen Farbe, wenn ihr keine gegeben wird; was in keiner Gruppe ist, bleibt, wie es ist. Namen stehen in doppelten Anführungszeichen, wenn sie eines der Zeichen ; = , oder Anführungszeichen enthalten.</translation>
    </message>
    <message>
      <source>Minimum confidence (percent)</source>
      <translation>Mindestkonfidenz (Prozent)</translation>
    </message>
    <message>
      <source>Pixels whose class is less probable have none in the class map. All have one where empty.</source>
      <translation>Pixel, deren Klasse weniger wahrscheinlich ist, haben in der Klassenkarte keine. Alle haben eine, wenn leer.</translation>
    </message>
    <message>
      <source>Minimum accuracy (mIoU)</source>
      <translation>Mindestgenauigkeit (mIoU)</translation>
    </message>
    <message>
      <source>Pixels have no class in the class map where their sensors give the model a lower mIoU (0 to 1) than this, by the model's own figures, which its card shows. All have one where empty.</source>
      <translation>Pixel haben in der Klassenkarte keine Klasse, wo das Modell mit ihren Sensoren eine niedrigere mIoU (0 bis 1) als diese hat, nach den eigenen Angaben des Modells, die sein Steckbrief zeigt. Alle haben eine, wenn leer.</translation>
    </message>
    <message>
      <source>Memory (GB)</source>
      <translation>Arbeitsspeicher (GB)</translation>
    </message>
    <message>
      <source>What the engine may take at the most, by mapping fewer tiles at a time; what is free where empty.</source>
      <translation>Was die Engine höchstens belegen darf, indem sie weniger Kacheln zugleich kartiert; was frei ist, wenn leer.</translation>
    </message>
    <message>
      <source>Let other programs come first</source>
      <translation>Anderen Programmen den Vortritt lassen</translation>
    </message>
    <message>
      <source>The engine runs at a low priority, so that the computer stays quick.</source>
      <translation>Die Engine läuft mit niedriger Priorität, damit der Rechner flott bleibt.</translation>
    </message>
  </context>
  <context>
    <name>Plugin</name>
    <message>
      <source>Map land cover…</source>
      <translation>Landbedeckung kartieren …</translation>
    </message>
    <message>
      <source>Open the example</source>
      <translation>Beispiel öffnen</translation>
    </message>
    <message>
      <source>Set up the engine…</source>
      <translation>Engine einrichten …</translation>
    </message>
    <message>
      <source>Help</source>
      <translation>Hilfe</translation>
    </message>
  </context>
  <context>
    <name>Polygonize</name>
    <message>
      <source>Polygons of a class map</source>
      <translation>Polygone einer Klassenkarte</translation>
    </message>
    <message>
      <source>Makes polygons of a class map along its pixels' exact edges, with a minimum mapping unit.</source>
      <translation>Erzeugt Polygone aus einer Klassenkarte, genau entlang der Kanten ihrer Pixel, mit einer Mindestkartierfläche.</translation>
    </message>
    <message>
      <source>Makes one polygon of each region of a class, along the pixels' exact edges: without gaps or overlaps, however large the map is. Pixels that meet at a corner alone are two regions.

Polygons have the fields value, class, hectares (on the ellipsoid), confidence (mean, in percent), scenario (the sensors that most of their pixels were mapped from) and pixels. Their style, with the map's colours and names, lies in the GeoPackage.</source>
      <translation>Erzeugt ein Polygon aus jedem Gebiet einer Klasse, genau entlang der Kanten der Pixel: ohne Lücken oder Überlappungen, wie groß die Karte auch ist. Pixel, die sich nur an einer Ecke berühren, sind zwei Gebiete.

Die Polygone haben die Felder value (Wert), class (Klasse), hectares (Hektar auf dem Ellipsoid), confidence (mittlere Konfidenz in Prozent), scenario (Szenario: die Sensoren, aus denen die meisten ihrer Pixel kartiert wurden) und pixels (Zahl der Pixel). Ihr Stil, mit den Farben und Namen der Karte, liegt im GeoPackage.</translation>
    </message>
    <message>
      <source>Class map</source>
      <translation>Klassenkarte</translation>
    </message>
    <message>
      <source>A raster of class values, of this or another program; its names and colours are taken.</source>
      <translation>Ein Raster mit Klassenwerten, aus diesem oder einem anderen Programm; seine Namen und Farben werden übernommen.</translation>
    </message>
    <message>
      <source>Minimum area in hectares</source>
      <translation>Mindestfläche in Hektar</translation>
    </message>
    <message>
      <source>Regions below it become of the class that they share the longest border with, the smallest first, until none is left or has a neighbour. Where there is no data nothing changes.</source>
      <translation>Kleinere Gebiete bekommen die Klasse, mit der sie die längste Grenze teilen, die kleinsten zuerst, bis keines mehr übrig ist oder einen Nachbarn hat. Wo keine Daten sind, ändert sich nichts.</translation>
    </message>
    <message>
      <source>Polygons</source>
      <translation>Polygone</translation>
    </message>
    <message>
      <source>The polygons, a GeoPackage.</source>
      <translation>Die Polygone, ein GeoPackage.</translation>
    </message>
    <message>
      <source>Number of polygons</source>
      <translation>Zahl der Polygone</translation>
    </message>
    <message>
      <source>Number of merged regions</source>
      <translation>Zahl der verschmolzenen Gebiete</translation>
    </message>
    <message>
      <source>{polygons} polygons of {classes} classes; {merged} regions were merged</source>
      <translation>{polygons} Polygone aus {classes} Klassen; {merged} Gebiete wurden verschmolzen</translation>
    </message>
  </context>
  <context>
    <name>Process</name>
    <message>
      <source>{} cannot be started: {}</source>
      <translation>{} kann nicht gestartet werden: {}</translation>
    </message>
    <message>
      <source>{} did not answer within {} seconds; is it a Python interpreter with the engine?</source>
      <translation>{} hat nicht innerhalb von {} Sekunden geantwortet; ist es ein Python-Interpreter mit der Engine?</translation>
    </message>
    <message>
      <source>{:.0%} done, about {} left</source>
      <translation>{:.0%} fertig, noch etwa {}</translation>
    </message>
    <message>
      <source>The engine of {interpreter} (version {version}) and this plugin do not speak the same protocol ({theirs} and {ours}). Update both to the same release: "{interpreter}" -m pip install --upgrade "{source}"</source>
      <translation>Die Engine von {interpreter} (Version {version}) und diese Erweiterung sprechen nicht dasselbe Protokoll ({theirs} und {ours}). Bringen Sie beide auf denselben Stand: "{interpreter}" -m pip install --upgrade "{source}"</translation>
    </message>
    <message>
      <source>The engine's process was killed or crashed; the computer may have run out of memory. No map was written. {}</source>
      <translation>Der Prozess der Engine wurde beendet oder ist abgestürzt; vielleicht war der Arbeitsspeicher erschöpft. Es wurde keine Karte geschrieben. {}</translation>
    </message>
    <message>
      <source>{interpreter} does not have the engine. {help}</source>
      <translation>{interpreter} hat die Engine nicht. {help}</translation>
    </message>
    <message>
      <source>The engine of {interpreter} is too old for this plugin. Update it with
"{interpreter}" -m pip install --upgrade "{source}"</source>
      <translation>Die Engine von {interpreter} ist zu alt für diese Erweiterung. Aktualisieren Sie sie mit
"{interpreter}" -m pip install --upgrade "{source}"</translation>
    </message>
    <message>
      <source>The engine of {} ended without an answer (exit status {}):
{}</source>
      <translation>Die Engine von {} endete ohne Antwort (Rückgabewert {}):
{}</translation>
    </message>
    <message>
      <source>{} s</source>
      <translation>{} s</translation>
    </message>
    <message>
      <source>{} min</source>
      <translation>{} min</translation>
    </message>
    <message>
      <source>{:.1f} h</source>
      <translation>{:.1f} h</translation>
    </message>
  </context>
  <context>
    <name>Provider</name>
    <message>
      <source>Python interpreter that has the engine</source>
      <translation>Python-Interpreter, der die Engine hat</translation>
    </message>
  </context>
  <context>
    <name>ReadyModel</name>
    <message>
      <source>Map as polygons</source>
      <translation>Karte als Polygone</translation>
    </message>
    <message>
      <source>Change between two dates</source>
      <translation>Änderung zwischen zwei Zeitpunkten</translation>
    </message>
    <message>
      <source>Ready models</source>
      <translation>Fertige Modelle</translation>
    </message>
  </context>
  <context>
    <name>Segment</name>
    <message>
      <source>Robust land-cover segmentation</source>
      <translation>Robuste Landbedeckungssegmentierung</translation>
    </message>
    <message>
      <source>Maps land cover with a model, from whichever of its sensors are loaded.</source>
      <translation>Kartiert Landbedeckung mit einem Modell aus denjenigen seiner Sensoren, die geladen sind.</translation>
    </message>
    <message>
      <source>Maps land cover with one model from whatever subset of its sensors is there, pixel by pixel: where a layer has no data, the pixel is mapped by the others. Layers may differ in coordinate reference system, resolution and extent.

The log says which layer was taken for which sensor and why, the engine's command line, and which share of the map was made by which sensors.</source>
      <translation>Kartiert Landbedeckung mit einem Modell aus denjenigen seiner Sensoren, die da sind, Pixel für Pixel: Wo ein Layer keine Daten hat, wird das Pixel aus den anderen kartiert. Die Layer dürfen sich in Koordinatenbezugssystem, Auflösung und Ausdehnung unterscheiden.

Das Protokoll sagt, welcher Layer für welchen Sensor genommen wurde und warum, die Befehlszeile der Engine, und welcher Teil der Karte aus welchen Sensoren stammt.</translation>
    </message>
    <message>
      <source>Assignment (modality=layer[@bands];...)</source>
      <translation>Zuordnung (modality=layer[@bands];...)</translation>
    </message>
    <message>
      <source>Which layer is which sensor, if that should not be found out, as in optical=Sentinel-2@4,3,2;dem=srtm. Bands are numbers or names; layers are names or paths, in double quotes where they hold a sign that stands for something here (; = @). A modality that comes again with all its bands is a mosaic: optical=west;optical=east.</source>
      <translation>Welcher Layer welcher Sensor ist, wenn das nicht herausgefunden werden soll, wie in optical=Sentinel-2@4,3,2;dem=srtm. Bänder sind Nummern oder Namen; Layer sind Namen oder Pfade, in doppelten Anführungszeichen, wenn sie ein Zeichen enthalten, das hier etwas bedeutet (; = @). Eine Modalität, die mit allen Bändern noch einmal vorkommt, ist ein Mosaik: optical=west;optical=east.</translation>
    </message>
    <message>
      <source>Extent</source>
      <translation>Ausdehnung</translation>
    </message>
    <message>
      <source>The part to map; all of it where empty.</source>
      <translation>Der Teil, der kartiert wird; alles, wenn leer.</translation>
    </message>
    <message>
      <source>Area</source>
      <translation>Gebiet</translation>
    </message>
    <message>
      <source>Polygons, all or the selected ones; what lies outside of them is neither read nor mapped.</source>
      <translation>Polygone, alle oder die ausgewählten; was außerhalb liegt, wird weder gelesen noch kartiert.</translation>
    </message>
    <message>
      <source>Sensor {}</source>
      <translation>Sensor {}</translation>
    </message>
    <message>
      <source>The layer of the model's sensor number {}, in place of layers and assignment; its bands follow</source>
      <translation>Der Layer für den Sensor Nummer {} des Modells, anstelle von Layern und Zuordnung; seine Kanäle folgen</translation>
    </message>
    <message>
      <source>Bands of the sensors' layers</source>
      <translation>Kanäle der Layer der Sensoren</translation>
    </message>
    <message>
      <source>For sensor 1, 2 and so on, in the model's order, as in 4,3,2;1; where empty, by their names.</source>
      <translation>Für Sensor 1, 2 und so weiter, in der Ordnung des Modells, wie in 4,3,2;1; wo leer, nach ihren Namen.</translation>
    </message>
    <message>
      <source>Masks (modality=mask;...)</source>
      <translation>Masken (Modalität=Maske;...)</translation>
    </message>
    <message>
      <source>What makes pixels of a sensor invalid, as in optical=SCL:scl (Sentinel-2), optical=QA:qa_pixel (Landsat), optical=clouds:values=1,2, optical=flags:bits=1,3, or polygons by their path. A raster is named by its layer or its path.</source>
      <translation>Was Pixel eines Sensors ungültig macht, wie in optical=SCL:scl (Sentinel-2), optical=QA:qa_pixel (Landsat), optical=clouds:values=1,2, optical=flags:bits=1,3, oder Polygone mit ihrem Pfad. Ein Raster wird mit seinem Layer oder seinem Pfad genannt.</translation>
    </message>
    <message>
      <source>Grid of a layer</source>
      <translation>Raster eines Layers</translation>
    </message>
    <message>
      <source>The map gets the pixels of this layer, whatever the model's pixel size.</source>
      <translation>Die Karte bekommt die Pixel dieses Layers, unabhängig von der Pixelgröße des Modells.</translation>
    </message>
    <message>
      <source>Pixel size</source>
      <translation>Pixelgröße</translation>
    </message>
    <message>
      <source>In units of the map's coordinate reference system; the model's where empty.</source>
      <translation>In Einheiten des Koordinatenbezugssystems der Karte; die des Modells, wenn leer.</translation>
    </message>
    <message>
      <source>Refuse values that the training never saw</source>
      <translation>Werte ablehnen, die das Training nie sah</translation>
    </message>
    <message>
      <source>Where values cannot be those of the training, the run ends with an error instead of a warning.</source>
      <translation>Wo Werte nicht die des Trainings sein können, endet der Lauf mit einem Fehler statt einer Warnung.</translation>
    </message>
    <message>
      <source>First in a mosaic</source>
      <translation>Zuerst im Mosaik</translation>
    </message>
    <message>
      <source>Which layer is read where several of one sensor have data: the first that was given, the finest, or the newest.</source>
      <translation>Welcher Layer gelesen wird, wo mehrere eines Sensors Daten haben: der zuerst genannte (given), der am feinsten aufgelöste (finest) oder der neueste (newest).</translation>
    </message>
    <message>
      <source>Device</source>
      <translation>Gerät</translation>
    </message>
    <message>
      <source>Where the network runs, by name; auto takes a GPU where the engine has one that works.</source>
      <translation>Worauf das Netz läuft, als Name; auto nimmt eine GPU, wo die Engine eine hat, die arbeitet.</translation>
    </message>
    <message>
      <source>Threads</source>
      <translation>Threads</translation>
    </message>
    <message>
      <source>Tiles at a time: fewer take less memory and leave processors to other programs. All where empty.</source>
      <translation>Kacheln zugleich: Weniger brauchen weniger Speicher und lassen anderen Programmen Prozessoren. Alle, wenn leer.</translation>
    </message>
    <message>
      <source>Class map</source>
      <translation>Klassenkarte</translation>
    </message>
    <message>
      <source>Class values with the model's colours and names; 255 (65535 in 16 bits) where no sensor has data.</source>
      <translation>Klassenwerte mit den Farben und Namen des Modells; 255 (65535 bei 16 Bit), wo kein Sensor Daten hat.</translation>
    </message>
    <message>
      <source>Confidence</source>
      <translation>Konfidenz</translation>
    </message>
    <message>
      <source>Probability of each pixel's class in percent.</source>
      <translation>Wahrscheinlichkeit der Klasse jedes Pixels in Prozent.</translation>
    </message>
    <message>
      <source>Probabilities</source>
      <translation>Wahrscheinlichkeiten</translation>
    </message>
    <message>
      <source>Probability of every class in percent, a band for each.</source>
      <translation>Wahrscheinlichkeit jeder Klasse in Prozent, ein Band für jede.</translation>
    </message>
    <message>
      <source>Availability</source>
      <translation>Verfügbarkeit</translation>
    </message>
    <message>
      <source>Which sensors each pixel had, as bits in the model's order.</source>
      <translation>Welche Sensoren jedes Pixel hatte, als Bits in der Reihenfolge des Modells.</translation>
    </message>
    <message>
      <source>Origin</source>
      <translation>Herkunft</translation>
    </message>
    <message>
      <source>Which layer of a mosaic each pixel was read from, a band for each sensor.</source>
      <translation>Aus welchem Layer eines Mosaiks jedes Pixel gelesen wurde, ein Band je Sensor.</translation>
    </message>
    <message>
      <source>Report on the map</source>
      <translation>Bericht über die Karte</translation>
    </message>
    <message>
      <source>HTML files (*.html)</source>
      <translation>HTML-Dateien (*.html)</translation>
    </message>
    <message>
      <source>A page on the map: areas by class and sensors, the accuracy to expect, and how it was made. It opens in the results viewer.</source>
      <translation>Eine Seite über die Karte: Flächen nach Klassen und Sensoren, die zu erwartende Genauigkeit, und wie sie gemacht wurde. Sie öffnet sich in der Ergebnisanzeige.</translation>
    </message>
    <message>
      <source>Sensors mapped from</source>
      <translation>Sensoren, aus denen kartiert wurde</translation>
    </message>
    <message>
      <source>Share of the pixels by sensors (JSON)</source>
      <translation>Anteil der Pixel nach Sensoren (JSON)</translation>
    </message>
    <message>
      <source>Hectares by class (JSON)</source>
      <translation>Hektar nach Klassen (JSON)</translation>
    </message>
    <message>
      <source>Share of the pixels that are mapped</source>
      <translation>Anteil der kartierten Pixel</translation>
    </message>
    <message>
      <source>Device used</source>
      <translation>Benutztes Gerät</translation>
    </message>
    <message>
      <source>{}: choose the layer that it is, or “missing”</source>
      <translation>{}: wählen Sie den Layer, der es ist, oder „fehlt“</translation>
    </message>
    <message>
      <source>Assignment “{}”: expected modality=layer or modality=layer@1,2</source>
      <translation>Zuordnung „{}“: erwartet wird modality=layer oder modality=layer@1,2</translation>
    </message>
    <message>
      <source>Name layers by sensor or together, not both</source>
      <translation>Nennen Sie Layer nach Sensoren oder zusammen, nicht beides</translation>
    </message>
    <message>
      <source>Group “{}”: expected group=class,class</source>
      <translation>Gruppe „{}“: erwartet wird Gruppe=Klasse,Klasse</translation>
    </message>
    <message>
      <source>{}: maps are GeoTIFF files; give it a name that ends in .tif</source>
      <translation>{}: Karten sind GeoTIFF-Dateien; geben Sie ihr einen Namen, der auf .tif endet</translation>
    </message>
    <message>
      <source>There is no layer to map from: load some of the model's sensors into the project, or choose layers</source>
      <translation>Es gibt keinen Layer, aus dem kartiert werden kann: Laden Sie einige der Sensoren des Modells in das Projekt, oder wählen Sie Layer</translation>
    </message>
    <message>
      <source>Land cover: {model}, {time}</source>
      <translation>Landbedeckung: {model}, {time}</translation>
    </message>
    <message>
      <source>Land cover ({model}: {scenario})</source>
      <translation>Landbedeckung ({model}: {scenario})</translation>
    </message>
    <message>
      <source>{:.0%} of the map was there already, from a run that did not end</source>
      <translation>{:.0%} der Karte war schon da, aus einem Lauf, der nicht zu Ende kam</translation>
    </message>
    <message>
      <source>{width} x {height} pixels in {seconds:.1f} s on {device}</source>
      <translation>{width} x {height} Pixel in {seconds:.1f} s auf {device}</translation>
    </message>
    <message>
      <source> (expected mIoU {:.2f})</source>
      <translation> (erwartete mIoU {:.2f})</translation>
    </message>
    <message>
      <source>left without a class: {}</source>
      <translation>ohne Klasse gelassen: {}</translation>
    </message>
    <message>
      <source>{share:.0%} of the map is made from {scenario}, where the model's mIoU was {miou:.2f}: hardly better than guessing ({guess:.2f}). Add a layer of another sensor, or do not use that part</source>
      <translation>{share:.0%} der Karte sind aus {scenario} gemacht, wo die mIoU des Modells {miou:.2f} war: kaum besser als geraten ({guess:.2f}). Fügen Sie einen Layer eines anderen Sensors hinzu, oder verwenden Sie diesen Teil nicht</translation>
    </message>
    <message>
      <source>Cancelled. A temporary map is not kept; nothing was written.</source>
      <translation>Abgebrochen. Eine temporäre Karte wird nicht aufgehoben; es wurde nichts geschrieben.</translation>
    </message>
    <message>
      <source>Cancelled. {share:.0%} of the map is kept in {folder}; run again with the same inputs and output to go on from there, or delete the folder.</source>
      <translation>Abgebrochen. {share:.0%} der Karte ist in {folder} aufgehoben; starten Sie mit denselben Eingaben und derselben Ausgabe noch einmal, um dort weiterzumachen, oder löschen Sie den Ordner.</translation>
    </message>
  </context>
  <context>
    <name>SensorRow</name>
    <message>
      <source>— choose —</source>
      <translation>— wählen —</translation>
    </message>
    <message>
      <source>— missing —</source>
      <translation>— fehlt —</translation>
    </message>
    <message>
      <source>? to be confirmed</source>
      <translation>? zu bestätigen</translation>
    </message>
    <message>
      <source>The layer's band that is {}</source>
      <translation>Der Kanal des Layers, der {} ist</translation>
    </message>
    <message>
      <source>Choose the layer that it is, or “missing”.</source>
      <translation>Wählen Sie den Layer, der es ist, oder „fehlt“.</translation>
    </message>
    <message>
      <source>○ missing</source>
      <translation>○ fehlt</translation>
    </message>
    <message>
      <source>Looked for: {}</source>
      <translation>Gesucht: {}</translation>
    </message>
    <message>
      <source>✔ sure</source>
      <translation>✔ sicher</translation>
    </message>
    <message>
      <source>✔ confirmed</source>
      <translation>✔ bestätigt</translation>
    </message>
    <message>
      <source>✕ too few bands</source>
      <translation>✕ zu wenige Kanäle</translation>
    </message>
    <message>
      <source>✕ not there</source>
      <translation>✕ nicht da</translation>
    </message>
    <message>
      <source>There is no such layer; choose another one.</source>
      <translation>Diesen Layer gibt es nicht; wählen Sie einen anderen.</translation>
    </message>
    <message>
      <source>✎ by hand</source>
      <translation>✎ von Hand</translation>
    </message>
    <message>
      <source>Chosen by hand</source>
      <translation>Von Hand gewählt</translation>
    </message>
  </context>
  <context>
    <name>Statistics</name>
    <message>
      <source>Statistics of a class map</source>
      <translation>Statistik einer Klassenkarte</translation>
    </message>
    <message>
      <source>Counts a class map by class, by the sensors that it was made from, and within zones.</source>
      <translation>Zählt eine Klassenkarte aus: nach Klassen, nach den Sensoren, aus denen sie gemacht wurde, und innerhalb von Zonen.</translation>
    </message>
    <message>
      <source>Writes a table: pixels, hectares (on the ellipsoid), share and mean confidence of each class in the whole map, of each class and scenario, and of each class in every zone. Pixels without data do not count.

A pixel belongs to each zone that holds its centre. Zones may overlap, and may have any coordinate reference system.</source>
      <translation>Schreibt eine Tabelle: Pixel, Hektar (auf dem Ellipsoid), Anteil und mittlere Konfidenz jeder Klasse in der ganzen Karte, jeder Klasse je Szenario und jeder Klasse in jeder Zone. Pixel ohne Daten zählen nicht.

Ein Pixel gehört zu jeder Zone, in der sein Mittelpunkt liegt. Zonen dürfen sich überlappen und jedes Koordinatenbezugssystem haben.</translation>
    </message>
    <message>
      <source>Class map</source>
      <translation>Klassenkarte</translation>
    </message>
    <message>
      <source>A raster of class values, of this or another program.</source>
      <translation>Ein Raster mit Klassenwerten, aus diesem oder einem anderen Programm.</translation>
    </message>
    <message>
      <source>Zones</source>
      <translation>Zonen</translation>
    </message>
    <message>
      <source>Polygons to count within, all or the selected ones.</source>
      <translation>Polygone, in denen gezählt wird, alle oder die ausgewählten.</translation>
    </message>
    <message>
      <source>Field with the zones' names</source>
      <translation>Feld mit den Namen der Zonen</translation>
    </message>
    <message>
      <source>What zones are called in the table; their numbers where empty.</source>
      <translation>Wie die Zonen in der Tabelle heißen; nach ihren Nummern, wenn leer.</translation>
    </message>
    <message>
      <source>Table</source>
      <translation>Tabelle</translation>
    </message>
    <message>
      <source>The table, a CSV file. Its column part says what a row is of: map, scenario or zone.</source>
      <translation>Die Tabelle, eine CSV-Datei. Ihre Spalte part sagt, wozu eine Zeile gehört: map (Karte), scenario (Szenario) oder zone (Zone).</translation>
    </message>
    <message>
      <source>Pixels</source>
      <translation>Pixel</translation>
    </message>
    <message>
      <source>Hectares</source>
      <translation>Hektar</translation>
    </message>
    <message>
      <source>Number of classes</source>
      <translation>Zahl der Klassen</translation>
    </message>
  </context>
  <context>
    <name>Work</name>
    <message>
      <source>Cancelled; nothing was changed.</source>
      <translation>Abgebrochen; nichts wurde geändert.</translation>
    </message>
  </context>
  <context>
    <name>Engine</name>
    <message>
      <source>{name} was chosen and is not used: {why}. Leave it out, or assign it</source>
      <translation>{name} wurde gewählt und wird nicht gebraucht: {why}. Lassen Sie es weg, oder ordnen Sie es zu</translation>
    </message>
    <message>
      <source>{name} was chosen and is not used: {why}</source>
      <translation>{name} wurde gewählt und wird nicht gebraucht: {why}</translation>
    </message>
    <message>
      <source>not used: {layers} ({why})</source>
      <translation>nicht gebraucht: {layers} ({why})</translation>
    </message>
    <message>
      <source>warning: {text}</source>
      <translation>Warnung: {text}</translation>
    </message>
    <message>
      <source>{name}: {parts} ({reasons})</source>
      <translation>{name}: {parts} ({reasons})</translation>
    </message>
    <message>
      <source>{name}: to be chosen: {options}</source>
      <translation>{name}: zu wählen: {options}</translation>
    </message>
    <message>
      <source>{name}: missing; {wanted}</source>
      <translation>{name}: fehlt; {wanted}</translation>
    </message>
    <message>
      <source>{count} bands ({names}) of {kind}</source>
      <translation>{count} Kanäle ({names}), {kind}</translation>
    </message>
    <message>
      <source>could be {options}</source>
      <translation>könnte {options} sein</translation>
    </message>
    <message>
      <source>1 band ({names}) of {kind}</source>
      <translation>1 Kanal ({names}), {kind}</translation>
    </message>
    <message>
      <source>a mosaic of {count} side by side</source>
      <translation>ein Mosaik aus {count} nebeneinander</translation>
    </message>
    <message>
      <source>several layers fit {name} equally well; choose one: {options}</source>
      <translation>mehrere Layer passen gleich gut zu {name}; wählen Sie einen: {options}</translation>
    </message>
    <message>
      <source>no layer serves any modality of the model. Looked for {looked}</source>
      <translation>kein Layer dient einer Modalität des Modells. Gesucht: {looked}</translation>
    </message>
    <message>
      <source>{seen:.0%} of its values lie in the training range</source>
      <translation>{seen:.0%} der Werte liegen im Bereich des Trainings</translation>
    </message>
    <message>
      <source>unit {unit}</source>
      <translation>Einheit {unit}</translation>
    </message>
    <message>
      <source>pixels of {metres:.3g} m</source>
      <translation>Pixel von {metres:.3g} m</translation>
    </message>
    <message>
      <source>its name says {name}</source>
      <translation>der Name sagt {name}</translation>
    </message>
    <message>
      <source>{valid:.0%} of a sample is valid</source>
      <translation>{valid:.0%} einer Stichprobe sind gültig</translation>
    </message>
    <message>
      <source>{count} bands in their order</source>
      <translation>{count} Kanäle in ihrer Ordnung</translation>
    </message>
    <message>
      <source>one band</source>
      <translation>ein Kanal</translation>
    </message>
    <message>
      <source>this computer has an NVIDIA GPU, but the engine was set up without it; the map is made on the CPU, which takes many times as long. Set the engine up for the GPU ({how}, in place of [cpu])</source>
      <translation>dieser Rechner hat eine NVIDIA-GPU, aber die Engine wurde ohne sie eingerichtet; die Karte entsteht auf der CPU, was ein Vielfaches dauert. Richten Sie die Engine für die GPU ein ({how}, anstelle von [cpu])</translation>
    </message>
    <message>
      <source>{tiles} tiles, {threads} at a time: about {seconds} s and {memory:.1f} GB of memory</source>
      <translation>{tiles} Kacheln, {threads} zugleich: etwa {seconds} s und {memory:.1f} GB Speicher</translation>
    </message>
  </context>
</TS>
