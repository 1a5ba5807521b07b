<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="de">
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
      <source>{where} names the interpreter {path}, which does not exist. {help}</source>
      <translation>{where} nennt den Interpreter {path}, den es nicht gibt. {help}</translation>
    </message>
    <message>
      <source>The engine is not set up. {}</source>
      <translation>Die Engine ist nicht eingerichtet. {}</translation>
    </message>
    <message>
      <source>Install it in a terminal with
{install}
or, where it is installed, name its Python interpreter under Settings, Options, Processing, Providers, Robust land cover (or in the environment variable {key}).</source>
      <translation>Installieren Sie sie in einem Terminal mit
{install}
oder nennen Sie, wo sie installiert ist, ihren Python-Interpreter unter Einstellungen, Optionen, Verarbeitung, Datenanbieter, Robust land cover (oder in der Umgebungsvariablen {key}).</translation>
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
      <source>The engine of {interpreter} (version {version}) and this plugin do not speak the same protocol ({theirs} and {ours}). Update both to the same release: "{interpreter}" -m pip install --upgrade "{source}"</source>
      <translation>Die Engine von {interpreter} (Version {version}) und diese Erweiterung sprechen nicht dasselbe Protokoll ({theirs} und {ours}). Bringen Sie beide auf denselben Stand: "{interpreter}" -m pip install --upgrade "{source}"</translation>
    </message>
    <message>
      <source>The engine's process was killed or crashed; the computer may have run out of memory. No map was written. {}</source>
      <translation>Der Prozess der Engine wurde beendet oder ist abgestürzt; vielleicht war der Arbeitsspeicher erschöpft. Es wurde keine Karte geschrieben. {}</translation>
    </message>
    <message>
      <source>{interpreter} does not have the engine. Install it with
"{interpreter}" -m pip install "{source}[cpu]"</source>
      <translation>{interpreter} hat die Engine nicht. Installieren Sie sie mit
"{interpreter}" -m pip install "{source}[cpu]"</translation>
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
  </context>
  <context>
    <name>Provider</name>
    <message>
      <source>Python interpreter that has the engine</source>
      <translation>Python-Interpreter, der die Engine hat</translation>
    </message>
  </context>
  <context>
    <name>Segment</name>
    <message>
      <source>Robust land-cover segmentation</source>
      <translation>Robuste Landbedeckungssegmentierung</translation>
    </message>
    <message>
      <source>Mapping</source>
      <translation>Kartierung</translation>
    </message>
    <message>
      <source>land cover,classification,deep learning,onnx,multimodal,missing,sensor,segmentation</source>
      <translation>Landbedeckung,Klassifikation,Deep Learning,ONNX,multimodal,fehlend,Sensor,Segmentierung</translation>
    </message>
    <message>
      <source>Maps land cover with a model, from whichever of its sensors are loaded.</source>
      <translation>Kartiert Landbedeckung mit einem Modell aus denjenigen seiner Sensoren, die geladen sind.</translation>
    </message>
    <message>
      <source>Maps land cover with one model from whatever subset of its sensors is there, pixel by pixel: where a layer has no data, the pixel is mapped by the others.

&lt;b&gt;Model&lt;/b&gt;: an .onnx file of the engine (engine export).
&lt;b&gt;Layers&lt;/b&gt;: the rasters to map from; none chosen means all rasters of the project that fit. They may differ in coordinate reference system, resolution and extent.
&lt;b&gt;Assignment&lt;/b&gt;: which layer is which sensor, if that should not be found out: &lt;i&gt;modality=layer[@bands];...&lt;/i&gt;, as in &lt;i&gt;optical=Sentinel-2@4,3,2;dem=srtm&lt;/i&gt;. Bands are numbers or names; layers are names or paths. A modality that comes again with all its bands is a mosaic: &lt;i&gt;optical=west;optical=east&lt;/i&gt;.
&lt;b&gt;Extent&lt;/b&gt;: the part to map; all of it where empty.
&lt;b&gt;Device&lt;/b&gt;: auto takes a GPU where the engine has one that works.

&lt;b&gt;Class map&lt;/b&gt;: class values with the model's colours and names; 255 (65535 in 16 bits) where no sensor has data.
&lt;b&gt;Confidence&lt;/b&gt;: probability of the class in percent.
&lt;b&gt;Availability&lt;/b&gt;: which sensors each pixel had, as bits in the model's order.
&lt;b&gt;Origin&lt;/b&gt;: which layer of a mosaic each pixel was read from, a band for each sensor.

The log says which layer was taken for which sensor and why, the engine's command line, and which share of the map was made by which sensors.</source>
      <translation>Kartiert Landbedeckung mit einem Modell aus jeder Teilmenge seiner Sensoren, Pixel für Pixel: Wo ein Layer keine Daten hat, wird das Pixel aus den anderen kartiert.

&lt;b&gt;Modell&lt;/b&gt;: eine .onnx-Datei der Engine (engine export).
&lt;b&gt;Layer&lt;/b&gt;: die Raster, aus denen kartiert wird; keines gewählt heißt alle passenden Raster des Projekts. Sie dürfen sich in Koordinatensystem, Auflösung und Ausdehnung unterscheiden.
&lt;b&gt;Zuordnung&lt;/b&gt;: welcher Layer welcher Sensor ist, wenn das nicht gesucht werden soll: &lt;i&gt;modality=layer[@bands];...&lt;/i&gt;, etwa &lt;i&gt;optical=Sentinel-2@4,3,2;dem=srtm&lt;/i&gt;. Bänder sind Nummern oder Namen, Layer sind Namen oder Pfade. Eine Modalität, die mit allen ihren Bändern noch einmal kommt, ist ein Mosaik: &lt;i&gt;optical=west;optical=ost&lt;/i&gt;.
&lt;b&gt;Ausdehnung&lt;/b&gt;: der Teil, der kartiert wird; alles, wenn leer.
&lt;b&gt;Gerät&lt;/b&gt;: auto nimmt eine GPU, wo die Engine eine brauchbare hat.

&lt;b&gt;Klassenkarte&lt;/b&gt;: Klassenwerte mit Farben und Namen des Modells; 255 (65535 bei 16 Bit), wo kein Sensor Daten hat.
&lt;b&gt;Konfidenz&lt;/b&gt;: Wahrscheinlichkeit der Klasse in Prozent.
&lt;b&gt;Verfügbarkeit&lt;/b&gt;: welche Sensoren jedes Pixel hatte, als Bits in der Reihenfolge des Modells.
&lt;b&gt;Herkunft&lt;/b&gt;: aus welchem Layer eines Mosaiks jedes Pixel stammt, ein Band für jeden Sensor.

Das Protokoll sagt, welcher Layer für welchen Sensor genommen wurde und warum, die Befehlszeile der Engine und welcher Anteil der Karte aus welchen Sensoren stammt.</translation>
    </message>
    <message>
      <source>Model</source>
      <translation>Modell</translation>
    </message>
    <message>
      <source>Layers (none: all rasters of the project that fit)</source>
      <translation>Layer (keine: alle passenden Raster des Projekts)</translation>
    </message>
    <message>
      <source>Assignment (modality=layer[@bands];...)</source>
      <translation>Zuordnung (modality=layer[@bands];...)</translation>
    </message>
    <message>
      <source>Extent</source>
      <translation>Ausdehnung</translation>
    </message>
    <message>
      <source>Device</source>
      <translation>Gerät</translation>
    </message>
    <message>
      <source>First in a mosaic</source>
      <translation>Zuerst im Mosaik</translation>
    </message>
    <message>
      <source>Class map</source>
      <translation>Klassenkarte</translation>
    </message>
    <message>
      <source>Confidence</source>
      <translation>Konfidenz</translation>
    </message>
    <message>
      <source>Availability</source>
      <translation>Verfügbarkeit</translation>
    </message>
    <message>
      <source>Origin</source>
      <translation>Herkunft</translation>
    </message>
    <message>
      <source>Sensors mapped from</source>
      <translation>Sensoren, aus denen kartiert wurde</translation>
    </message>
    <message>
      <source>Device used</source>
      <translation>Benutztes Gerät</translation>
    </message>
    <message>
      <source>Assignment “{}”: expected modality=layer or modality=layer@1,2</source>
      <translation>Zuordnung „{}“: erwartet wird modality=layer oder modality=layer@1,2</translation>
    </message>
    <message>
      <source>Assignment “{}”: the model has no modality {}; it has {}</source>
      <translation>Zuordnung „{}“: das Modell hat keine Modalität {}; es hat {}</translation>
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
      <source>There is no layer to map from: load some of the model's sensors into the project, or choose layers</source>
      <translation>Es gibt keinen Layer, aus dem kartiert werden kann: Laden Sie einige der Sensoren des Modells in das Projekt, oder wählen Sie Layer</translation>
    </message>
    <message>
      <source>Land cover ({model}: {scenario})</source>
      <translation>Landbedeckung ({model}: {scenario})</translation>
    </message>
    <message>
      <source>{}; it is left out</source>
      <translation>{}; er wird ausgelassen</translation>
    </message>
    <message>
      <source>{width} x {height} pixels in {seconds:.1f} s on {device}</source>
      <translation>{width} x {height} Pixel in {seconds:.1f} s auf {device}</translation>
    </message>
  </context>
</TS>
